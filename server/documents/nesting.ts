import * as Y from 'yjs';

/** Yjs deletes, and shows as JSON, type by type within one another: some thousand levels overflow the stack. */
const MAX_LEVELS = 500;
/**
 * What hangs on something that is missing may come to lie as deep as that does, which is not known: it may bring half of the
 * levels itself. So a document has 750 at most, whatever comes in which order.
 */
const UNKNOWN_LEVELS = MAX_LEVELS / 2;

/**
 * Whether something of an update lies more levels of types deep than Yjs can bear, once it is applied to the document.
 * @param structs - of an update that passes the check
 */
export function isTooDeep(doc: Y.Doc, structs: readonly (Y.Item | Y.GC | Y.Skip)[]): boolean {
  const items = structs.filter((struct) => struct instanceof Y.Item);
  const find = finder(doc, items);
  const levels = new Map<Y.Item, number>();
  return items.some((item) => levelOf(item, find, levels) > MAX_LEVELS);
}

/** An item; `collected` where it was deleted and nothing is known of it any more; `missing` where it has not come. */
type Found = Y.Item | 'collected' | 'missing';
type Find = (id: Y.ID) => Found;

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
      return struct instanceof Y.Item ? struct : 'collected';
    }
    return search(byClient.get(id.client) ?? [], id.clock) ?? 'missing';
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
  for (let found: Found = start; found !== 'collected';) {
    const known: number | undefined = found === 'missing' ? UNKNOWN_LEVELS : levels.get(found);
    // Items of two clients may refer to each other in a circle; Yjs keeps those aside.
    if (found === 'missing' || known !== undefined || seen.has(found)) {
      level = known ?? UNKNOWN_LEVELS;
      break;
    }
    seen.add(found);
    const next: Neighbour = neighbourOf(found, find);
    path.push({ item: found, step: next.step });
    found = next.item;
  }
  for (const { item, step } of path.toReversed()) levels.set(item, (level += step));
  return level;
}

interface Neighbour {
  /** `collected` also for a root, around which there is nothing. */
  readonly item: Found;
  /** 1 for the type around an item, 0 for a sibling. */
  readonly step: 0 | 1;
}

function neighbourOf({ parent, origin, rightOrigin }: Y.Item, find: Find): Neighbour {
  if (parent instanceof Y.ID) return { item: find(parent), step: 1 };
  // oxlint-disable-next-line no-underscore-dangle -- the name that Yjs gives it
  if (parent instanceof Y.AbstractType) return { item: parent._item ?? 'collected', step: 1 };
  if (parent !== null) return { item: 'collected', step: 1 };
  const sibling = origin ?? rightOrigin;
  return { item: sibling === null ? 'collected' : find(sibling), step: 0 };
}
