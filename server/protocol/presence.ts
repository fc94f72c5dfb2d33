/**
 * The body of an Awareness message: what clients say about themselves, whichever the protocol.
 *
 *   update = varUint count, entries        entry = varUint id, varUint clock, varString state as JSON
 *
 * The state `null` says that the client left. An entry counts if its clock is higher than the one that is known.
 */
import * as decoding from 'lib0/decoding';
import * as encoding from 'lib0/encoding';

/** Above what counts changes or milliseconds, and with room to count on: a number above 2^53 cannot be read. */
const MAX_CLOCK = 2 ** 48;
/** Deeper than what anybody says of themselves; some thousand levels overflow the stack when they are written. */
const MAX_DEPTH = 64;

/** One client's state. */
export interface PresenceEntry {
  readonly id: number;
  readonly clock: number;
  /** As `JSON.stringify` writes it. */
  readonly state: string;
}

/** The state of a client that left. */
export const LEFT = 'null';

/**
 * Reads an entry that stands alone, and of several those that matter; the others, mostly repeats, are passed over, since a frame
 * has room for 600,000.
 * @param matters - whether what is said of an id is of interest
 * @throws when it is cut short, or what is read is not JSON, or is out of bounds
 */
export function readPresence(update: Uint8Array, matters: (id: number) => boolean): PresenceEntry[] {
  const decoder = decoding.createDecoder(update);
  const entries: PresenceEntry[] = [];
  const count = decoding.readVarUint(decoder);
  for (let left = count; left > 0; left -= 1) {
    const id = decoding.readVarUint(decoder);
    const clock = decoding.readVarUint(decoder);
    if (count > 1 && !matters(id)) {
      passOver(decoder);
      continue;
    }
    const state: unknown = JSON.parse(decoding.readVarString(decoder));
    if (clock > MAX_CLOCK || !isShallow(state, MAX_DEPTH)) throw new RangeError('out of bounds');
    entries.push({ id, clock, state: JSON.stringify(state) });
  }
  return entries;
}

/** Whose state an update tells, and with which clock, if it is the only one and not that they leave; it is not read. */
export function soleStateOf(update: Uint8Array): Pick<PresenceEntry, 'id' | 'clock'> | null {
  const decoder = decoding.createDecoder(update);
  if (decoding.readVarUint(decoder) !== 1) return null;
  const [id, clock] = [decoding.readVarUint(decoder), decoding.readVarUint(decoder)];
  return decoding.readVarUint(decoder) > LEFT.length ? { id, clock } : null;
}

function passOver(decoder: decoding.Decoder): void {
  const length = decoding.readVarUint(decoder);
  if (length > decoder.arr.length - decoder.pos) throw new RangeError('cut short');
  decoder.pos += length;
}

/**
 * A state that says as `user.id` whose it is by their token, so that nobody can pass for another. The rest of `user` (name,
 * colour) is the client's.
 * @param user - `null` when nobody was asked: then it stays as it is
 */
export function identified(entry: PresenceEntry, user: string | null): PresenceEntry {
  if (user === null || entry.state === LEFT) return entry;
  const state: unknown = JSON.parse(entry.state);
  if (!isRecord(state)) return entry;
  const about = isRecord(state['user']) ? state['user'] : {};
  return { ...entry, state: JSON.stringify({ ...state, user: { ...about, id: user } }) };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function writePresence(entries: readonly PresenceEntry[]): Uint8Array {
  return encoding.encode((encoder) => {
    encoding.writeVarUint(encoder, entries.length);
    for (const { id, clock, state } of entries) {
      encoding.writeVarUint(encoder, id);
      encoding.writeVarUint(encoder, clock);
      encoding.writeVarString(encoder, state);
    }
  });
}

/** Whether a value of JSON, or bytes, has at most so many levels. */
export function isShallow(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return true;
  return levels > 0 && Object.values(value).every((member) => isShallow(member, levels - 1));
}
