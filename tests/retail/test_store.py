"""The store behaves as dicts that are deep-copied for each fork would, and its digests are worth their name."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import subprocess
import sys
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spec_envs import Call
from spec_envs.errors import InvalidConfiguration
from spec_envs.retail.loading import load_data
from spec_envs.retail.store.data import Record, RetailData, Table, find_data
from spec_envs.retail.store.notation import tau_notation
from spec_envs.retail.store.snapshot import Change, StoreSnapshot
from spec_envs.retail.tools.table import run_tool
from spec_envs.retail.tools.visible import view_of
from tests.retail.shops import AWAY, as_dict, shop, tables

KEYS: dict[Table, tuple[str, ...]] = {"orders": ("a", "b", ""), "products": ("a", "ab"), "users": ("a",)}
# Few values, so that different ways lead to equal states; and those that JSON or Python confuses.
VALUES = st.sampled_from(
    [0, 1, 1.0, True, False, None, "1", [], {}, [1, [2]], {"x": 1, "y": 2}, {"y": 2, "x": 1}, -0.0]
)
RECORDS = st.dictionaries(st.sampled_from(["x", "y"]), VALUES, max_size=2)
ADDRESSES = st.sampled_from([(table, key) for table, keys in KEYS.items() for key in keys])
# Write to one of the stores, or fork one of them.
STEPS = st.lists(st.tuples(st.integers(0, 7), st.none() | st.tuples(ADDRESSES, RECORDS)), max_size=25)


def start() -> dict[Table, dict[str, Record]]:
    return {table: {key: {"x": 0} for key in keys} for table, keys in KEYS.items()}


@given(STEPS)
def test_behaves_as_dicts_that_each_fork_copies(steps):
    stores, models = [StoreSnapshot(RetailData(start()))], [start()]
    for number, write in steps:
        number %= len(stores)
        if write is None:
            stores.append(copy.copy(stores[number]))
            models.append(copy.deepcopy(models[number]))
        else:
            (table, key), record = write
            stores[number] = stores[number].patched([Change(table, key, record)])
            models[number][table][key] = record
    for store, model in zip(stores, models, strict=True):
        assert json.dumps(as_dict(store)) == json.dumps(model)
        assert all(store.get(table, key) is not None for table, keys in KEYS.items() for key in keys)
        assert StoreSnapshot(RetailData(model)).digest == store.digest  # kept up to date is as good as computed anew
        for table in KEYS:
            assert StoreSnapshot(RetailData(model)).table_digest(table) == store.table_digest(table)
    for store, model in zip(stores, models, strict=True):
        for other, its_model in zip(stores, models, strict=True):
            equal = json.dumps(model) == json.dumps(its_model)  # knows 1 from 1.0 and true, and the order of fields
            assert (store.digest == other.digest) == equal == (store == other)
            alike = tau_notation(model) == tau_notation(its_model)
            assert (store.tau_hash() == other.tau_hash()) == alike == store.matches(other)


@given(STEPS)
def test_pickles_and_copies_are_equal(steps):
    store = StoreSnapshot(RetailData(start()))
    for _, write in steps:
        if write is not None:
            (table, key), record = write
            store = store.patched([Change(table, key, record)])
    twin = pickle.loads(pickle.dumps(store))
    assert twin == store and hash(twin) == hash(store)
    assert json.dumps(as_dict(twin)) == json.dumps(as_dict(store))
    assert copy.deepcopy(store) is store is copy.copy(store)


class TestSnapshot:
    def test_a_patch_leaves_the_snapshot_as_it_was(self):
        before = shop()
        after = before.patched([Change("users", "ann_lee_1", {"new": 1})])
        assert as_dict(before) == tables() and before == shop()
        assert after != before and after.get("users", "ann_lee_1") == {"new": 1}
        assert (
            dict(after.items("users"))["ann_lee_1"] == {"new": 1} and list(dict(after.items("users")))[1] == "ann_lee_2"
        )
        assert after.changes() == (Change("users", "ann_lee_1", {"new": 1}),)

    def test_back_to_the_start_is_the_start(self):
        before = shop()
        old = before.get("users", "ann_lee_1")
        assert old is not None
        after = before.patched([Change("users", "ann_lee_1", {})]).patched([Change("users", "ann_lee_1", old)])
        assert after == before and after.changes() == ()

    def test_an_unknown_record_cannot_be_changed_and_nothing_is(self):
        store = shop()
        with pytest.raises(KeyError, match="nobody"):
            store.patched([Change("users", "ann_lee_1", {}), Change("users", "nobody", {})])
        assert store == shop() and store.get("users", "nobody") is None

    def test_the_order_of_records_counts(self):
        turned = tables()
        turned["users"] = dict(reversed(turned["users"].items()))
        assert StoreSnapshot(RetailData(turned)) != shop()
        assert StoreSnapshot(RetailData(turned)).matches(shop())  # tau-bench sorts

    def test_says_what_it_is(self):
        assert f"{shop().digest:032x}" in repr(shop())
        assert shop() != 1

    def test_is_what_a_call_is_compared_by(self):
        one, other = Call("tool", ("think", shop())), Call("tool", ("think", shop()))
        assert one == other and hash(one) == hash(other)
        assert one != Call("tool", ("think", shop().patched([Change("users", "ann_lee_1", {})])))

    def test_finds_users_as_they_are_now(self):
        store = shop()
        assert store.find_user("ANN@example.COM") == "ann_lee_1"
        assert store.find_user("an@example.com") is None
        assert store.find_user(("ann", "LEE"), "76701") == "ann_lee_2"
        assert store.find_user(("ann", "LEE"), "76702") is None
        first, second = store.get("users", "ann_lee_1"), store.get("users", "ann_lee_2")
        assert first is not None and second is not None
        moved = store.patched([Change("users", "ann_lee_1", {**first, "address": AWAY})])
        assert moved.find_user(("Ann", "Lee"), "76701") == "ann_lee_1"  # the first of the two
        assert moved.find_user(("Ann", "Lee"), "89501") is None
        renamed = store.patched([Change("users", "ann_lee_2", {**second, "email": "x@y.z"})])
        assert renamed.find_user("X@y.z") == "ann_lee_2" and renamed.find_user("ann2@example.com") is None


class TestPatchedSnapshots:
    def test_share_what_has_not_changed(self):
        store = shop()
        patched = store.patched([Change("users", "ann_lee_1", {})])
        assert store == shop() and patched != store
        assert patched.initial is store.initial  # so the size of the data does not matter
        assert patched.get("users", "ann_lee_2") is store.get("users", "ann_lee_2")

    def test_with_five_writes_each_are_small(self):
        store = StoreSnapshot(load_data())
        orders = [key for key, order in store.items("orders") if order["status"] == "pending"][:5]
        assert store.digest  # the memory of the loaded data is not counted below
        forks = []
        tracemalloc.start()
        try:
            for number in range(250):
                fork = store
                for order_id in orders:
                    arguments = {**AWAY, "zip": str(number), "order_id": order_id}
                    fork = fork.patched(run_tool(fork, "modify_pending_order_address", arguments).patch)
                forks.append(fork)
            gc.collect()
            used = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert len({fork.digest for fork in forks}) == 250
        assert used < 2.5e6  # 10,000 of them may take 200 MB; they take about 50


class TestPickles:
    def test_of_data_with_a_source_are_small(self):
        snapshot = StoreSnapshot(load_data())
        assert len(pickle.dumps(snapshot)) < 300
        assert pickle.loads(pickle.dumps(snapshot)).initial is snapshot.initial

    def test_are_read_by_another_process(self):
        snapshots = [StoreSnapshot(load_data()), shop()]
        users = [next(iter(dict(snapshot.items("users")))) for snapshot in snapshots]
        changed = [s.patched([Change("users", user, {"x": 1})]) for s, user in zip(snapshots, users, strict=True)]
        code = (
            "import pickle, sys\n"
            "for snapshot in pickle.load(sys.stdin.buffer): print(snapshot.digest, snapshot.tau_hash())"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], input=pickle.dumps(changed), capture_output=True, timeout=60, check=True
        )
        assert done.stdout.decode().splitlines() == [f"{s.digest} {s.tau_hash()}" for s in changed]

    def test_of_the_loaded_data_too(self):
        data = shop().initial
        assert StoreSnapshot(pickle.loads(pickle.dumps(data))) == StoreSnapshot(data)
        assert copy.deepcopy(data) is data

    def test_of_other_data_are_refused(self):
        with pytest.raises(InvalidConfiguration, match="the data differ between the two processes"):
            find_data(12345, (load_data, "embedded"))


class TestTauBenchHash:
    def test_of_the_example_in_its_documentation(self):
        value = {"b": [1, 2.0, "it's"], "a": {"z": None, "y": [True]}, "c": []}
        assert tau_notation(value) == "(('a', (('y', (True,)), ('z', None))), ('b', (1, 2.0, \"it's\")), ('c', ()))"

    @given(
        st.recursive(VALUES, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v, max_size=3))
    )
    def test_pieces_make_the_whole(self, value):
        from hashlib import sha256

        data: Any = {"orders": {"x": value, "'": value}, "products": {"one": value}, "users": {}}
        plain = sha256(tau_notation(data).encode()).hexdigest()
        store = StoreSnapshot(RetailData(data))
        assert store.tau_hash() == plain
        assert store.patched([Change("orders", "x", {}), Change("orders", "x", value)]).tau_hash() == plain


class TestViews:
    LOOK = ("get_user_details", {"user_id": "ann_lee_1"})

    def test_a_read_stays_good_until_what_it_read_is_written(self):
        before = shop()
        after = before.patched([Change("orders", "#W1", {})])
        assert view_of(before, *self.LOOK) == view_of(after, *self.LOOK)
        assert view_of(before, "list_all_product_types", {}) == view_of(after, "list_all_product_types", {})
        email = ("find_user_id_by_email", {"email": "x"})
        assert view_of(before, *email) == view_of(after, *email)
        order = ("get_order_details", {"order_id": "#W1"})
        assert view_of(before, *order) != view_of(after, *order)
        moved = after.patched([Change("users", "ann_lee_1", {})])
        assert view_of(moved, *self.LOOK) != view_of(after, *self.LOOK)
        assert view_of(moved, *email) != view_of(after, *email)

    def test_a_write_sees_everything_and_nonsense_nothing(self):
        before = shop()
        after = before.patched([Change("orders", "#W1", {})])
        cancel = ("cancel_pending_order", {"order_id": "#W2", "reason": "no longer needed"})
        assert view_of(before, *cancel) != view_of(after, *cancel)
        assert view_of(before, "get_order_details", {}) == view_of(after, "get_order_details", {"order_id": 1})
        assert view_of(before, "think", {"thought": ""}) == view_of(after, "think", {"thought": ""})

    def test_counts_in_a_call_and_keeps_the_data(self):
        before = shop()
        after = before.patched([Change("orders", "#W1", {})])
        one, other = (Call("tool", (*self.LOOK, view_of(store, *self.LOOK))) for store in (before, after))
        assert one == other and hash(one) == hash(other) and other.query[2].snapshot is after
        assert pickle.loads(pickle.dumps(one)) == other
        assert "users" in repr(one) and one.query[2] != object()

    def test_of_a_record_that_is_not_there(self):
        nobody = ("get_user_details", {"user_id": "nobody"})
        assert view_of(shop(), *nobody) == view_of(shop(), *nobody) != view_of(shop(), *self.LOOK)
