// Moves on a board, in UCI notation, as they were played: they are legal already.

const GLYPHS: Record<string, string> = {
  K: "♔", Q: "♕", R: "♖", B: "♗", N: "♘", P: "♙",
  k: "♚", q: "♛", r: "♜", b: "♝", n: "♞", p: "♟",
};
const NAMES: Record<string, string> = { k: "king", q: "queen", r: "rook", b: "bishop", n: "knight", p: "pawn" };
export const START = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1";

export type Board = (string | null)[]; // from a8 to h1

export function boardOf(fen: string): Board {
  const board: Board = [];
  for (const letter of (fen.split(" ")[0] ?? "").replaceAll("/", ""))
    if (/\d/.test(letter)) board.push(...Array<null>(Number(letter)).fill(null));
    else board.push(letter);
  return board;
}

function square(name: string): number {
  return (8 - Number(name[1])) * 8 + (name.charCodeAt(0) - 97);
}

/** Returns whether `move` looks like a move and a piece stands where it begins; changes `board`. */
export function push(board: Board, move: string): boolean {
  if (!/^[a-h][1-8][a-h][1-8][qrbn]?$/.test(move)) return false;
  const from = square(move.slice(0, 2));
  const to = square(move.slice(2, 4));
  const piece = board[from];
  if (!piece) return false;
  const kind = piece.toLowerCase();
  const sideways = (to % 8) - (from % 8);
  if (kind === "p" && sideways !== 0 && !board[to]) board[to + (piece === "P" ? 8 : -8)] = null; // en passant
  if (kind === "k" && Math.abs(sideways) === 2) {
    const corner = from - (from % 8) + (sideways > 0 ? 7 : 0);
    board[from + sideways / 2] = board[corner] ?? null;
    board[corner] = null;
  }
  board[from] = null;
  const promoted = move[4];
  board[to] = promoted ? (piece === "P" ? promoted.toUpperCase() : promoted) : piece;
  return true;
}

export function drawBoard(board: Board, last: string | undefined): HTMLElement {
  const made = document.createElement("div");
  made.className = "board";
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", describe(board, last));
  const marked = last ? [square(last.slice(0, 2)), square(last.slice(2, 4))] : [];
  board.forEach((piece, index) => {
    const field = document.createElement("span");
    if ((index + Math.floor(index / 8)) % 2) field.className = "dark";
    if (marked.includes(index)) field.classList.add("moved");
    // The text presentation, so that no platform draws pawns as emoji.
    field.textContent = piece ? `${GLYPHS[piece]}\uFE0E` : "";
    made.append(field);
  });
  return made;
}

function describe(board: Board, last: string | undefined): string {
  const pieces = board.flatMap((piece, index) => {
    if (!piece) return [];
    const name = `${String.fromCharCode(97 + (index % 8))}${8 - Math.floor(index / 8)}`;
    return [`${piece === piece.toUpperCase() ? "white" : "black"} ${NAMES[piece.toLowerCase()]} ${name}`];
  });
  return `Chess board${last ? ` after ${last}` : ""}: ${pieces.join(", ")}`;
}
