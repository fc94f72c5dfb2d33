import * as Y from 'yjs';

/** Yjs deletes, and shows as JSON, type by type within one another: some thousand levels overflow the stack. */
const MAX_LEVELS = 500;

/**
 * Whether something of an update lies more levels of types deep than Yjs can bear, in the document or once it is applied.
 * What waits for missing edits cannot be told yet.
 * @param update - one that passes the check
 */
export function isTooDeep(doc: Y.Doc, update: Uint8Array): boolean {
  const { structs } = Y.decodeUpdate(update);
  const items = structs.filter((struct) => struct instanceof Y.Item);
  const find = finder(doc, items);
  const levels = new Map<Y.Item, number>();
  return items.some((item) => levelOf(item, find, levels) > MAX_LEVELS);
}

type Find = (id: Y.ID) => Y.Item | undefined;

/** Looks items up in the document, or else in the update. */
function finder({ store }: Y.Doc, items: readonly Y.Item[]): Find {
  const byClient = new Map<number, Y.Item[]>();
  for (const item of items) {
    const known = byClient.get(item.id.client);
    if (known === undefined) byClient.set(item.id.client, [item]);
    else known.push(item);
  }
  return (id) => {
    if (id.clock < Y.getState(store, id.client)) {
      const struct = Y.getItem(store, id) as Y.AbstractStruct;
      return struct instanceof Y.Item ? struct : undefined;
    }
    return search(byClient.get(id.client) ?? [], id.clock);
  };
}

/** The item that holds a clock, in the order of their clocks. */
function search(items: readonly Y.Item[], clock: number): Y.Item | undefined {
  let [low, high] = [0, items.length - 1];
  while (low <= high) {
    const middle = (low + high) >> 1;
    const item = items[middle] as Y.Item;
    if (clock < item.id.clock) high = middle - 1;
    else if (clock >= item.id.clock + item.length) low = middle + 1;
    else return item;
  }
  return undefined;
}

/** How many types lie around an item. Without recursion, which is what many levels would overflow. */
function levelOf(start: Y.Item, find: Find, levels: Map<Y.Item, number>): number {
  const path: { item: Y.Item; step: number }[] = [];
  const seen = new Set<Y.Item>();
  let level = 0;
  for (let item: Y.Item | undefined = start; item !== undefined;) {
    const known = levels.get(item);
    // Items of two clients may refer to each other in a circle; Yjs keeps those aside.
    if (known !== undefined || seen.has(item)) {
      level = known ?? 0;
      break;
    }
    seen.add(item);
    const next: Neighbour = neighbourOf(item, find);
    path.push({ item, step: next.step });
    item = next.item;
  }
  for (const { item, step } of path.toReversed()) levels.set(item, (level += step));
  return level;
}

interface Neighbour {
  readonly item: Y.Item | undefined;
  /** 1 for the type around an item, 0 for a sibling. */
  readonly step: 0 | 1;
}

function neighbourOf({ parent, origin, rightOrigin }: Y.Item, find: Find): Neighbour {
  if (parent instanceof Y.ID) return { item: find(parent), step: 1 };
  // oxlint-disable-next-line no-underscore-dangle -- the name that Yjs gives it
  if (parent instanceof Y.AbstractType) return { item: parent._item ?? undefined, step: 1 };
  if (parent !== null) return { item: undefined, step: 1 };
  const sibling = origin ?? rightOrigin;
  return { item: sibling === null ? undefined : find(sibling), step: 0 };
}
