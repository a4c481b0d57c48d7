"""Programs and packages of others that this library plugs into. The rest of the library imports none of it."""
