import * as decoding from 'lib0/decoding';
import * as encoding from 'lib0/encoding';

/** One client's state on the wire; `null` when it left. */
export interface State {
  id: number;
  clock: number;
  state: unknown;
}

export function encodeStates(states: State[]): Uint8Array {
  return encoding.encode((encoder) => {
    encoding.writeVarUint(encoder, states.length);
    for (const { id, clock, state } of states) {
      encoding.writeVarUint(encoder, id);
      encoding.writeVarUint(encoder, clock);
      encoding.writeVarString(encoder, JSON.stringify(state));
    }
  });
}

export function decodeStates(update: Uint8Array): State[] {
  const decoder = decoding.createDecoder(update);
  return Array.from({ length: decoding.readVarUint(decoder) }, () => ({
    id: decoding.readVarUint(decoder),
    clock: decoding.readVarUint(decoder),
    state: JSON.parse(decoding.readVarString(decoder)) as unknown,
  }));
}
