import * as Y from 'yjs';

/** Clocks from the first to the one before the last. */
type Range = [from: number, to: number];
/** Of each client, in any order until they are looked at. */
type Ranges = Map<number, Range[]>;

/** What updates change, by the ids of Yjs: the structs that they bring (formats are some, too), and those that they delete. */
export class Changes {
  readonly #structs: Ranges = new Map();
  readonly #deletions: Ranges = new Map();

  add(update: Uint8Array): this {
    const { structs, ds } = Y.decodeUpdate(update);
    for (const struct of structs) {
      const { client, clock } = struct.id;
      if (!(struct instanceof Y.Skip)) add(this.#structs, client, [clock, clock + struct.length]);
    }
    for (const [client, items] of ds.clients)
      for (const { clock, len } of items) add(this.#deletions, client, [clock, clock + len]);
    return this;
  }

  /** Adds the structs of a client up to a clock. */
  addUntil(client: number, clock: number): this {
    add(this.#structs, client, [0, clock]);
    return this;
  }

  addAll(others: Changes): this {
    for (const [mine, its] of [
      [this.#structs, others.#structs],
      [this.#deletions, others.#deletions],
    ] as const)
      for (const [client, ranges] of its) for (const range of ranges) add(mine, client, range);
    return this;
  }

  /** In words, what of these changes is not among the others. */
  missingIn(others: Changes): string[] {
    return [
      ...difference(this.#structs, others.#structs).map((range) => `structs ${range}`),
      ...difference(this.#deletions, others.#deletions).map((range) => `deletions ${range}`),
    ];
  }
}

function add(ranges: Ranges, client: number, [from, to]: Range): void {
  if (from === to) return;
  const its = ranges.get(client);
  if (its === undefined) ranges.set(client, [[from, to]]);
  else its.push([from, to]);
}

function difference(ranges: Ranges, others: Ranges): string[] {
  return [...ranges].flatMap(([client, its]) =>
    without(merge(its), merge(others.get(client) ?? [])).map(([from, to]) => `${client}:[${from}, ${to})`),
  );
}

/** Sorts ranges, and makes one of those that overlap or touch; in place, since they only grow. */
function merge(ranges: Range[]): Range[] {
  const merged: Range[] = [];
  for (const [from, to] of ranges.toSorted(([one], [other]) => one - other)) {
    const last = merged.at(-1);
    if (last !== undefined && from <= last[1]) last[1] = Math.max(last[1], to);
    else merged.push([from, to]);
  }
  ranges.splice(0, ranges.length, ...merged);
  return ranges;
}

/** Both merged. */
function without(ranges: readonly Range[], others: readonly Range[]): Range[] {
  const left: Range[] = [];
  let next = 0;
  for (let [from, to] of ranges) {
    while ((others[next]?.[1] ?? Infinity) <= from) next += 1;
    for (let at = next; from < to && (others[at]?.[0] ?? Infinity) < to; at += 1) {
      const [start, end] = others[at] as Range;
      if (start > from) left.push([from, start]);
      from = Math.max(from, end);
    }
    if (from < to) left.push([from, to]);
  }
  return left;
}
