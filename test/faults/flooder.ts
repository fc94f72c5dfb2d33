/*
 * A client that says of people who are not there that they are, in a process of its own: who measures others meanwhile must not
 * be busy with that, nor with the garbage that it leaves.
 *
 *   node test/faults/flooder.ts URL DOCUMENT PROTOCOL FIRST_ID IDS IN_ONE
 *
 * It prints `ready` when it is in the document. At SIGUSR2 it sends states of IDS ids from FIRST_ID on, IN_ONE in a frame, as
 * fast as they are read, and prints `handled` when the server has. It leaves when it is killed.
 */
import type { Dialect } from '../helpers/frames.ts';
import { encodeStates } from '../helpers/states.ts';
import { Line } from './line.ts';

const [url = '', document = '', protocol = '', first = '', ids = '', inOne = ''] = process.argv.slice(2);
const [FIRST_ID, IDS, IN_ONE] = [Number(first), Number(ids), Number(inOne)];

/** An awareness update of ids in a row. */
function forged(from: number): Uint8Array {
  return encodeStates(
    Array.from({ length: IN_ONE }, (_, index) => ({ id: from + index, clock: 1, state: {} })),
  );
}

const line = new Line(protocol as Dialect, url, document);
await line.join();
const told = new Promise((resolve) => process.once('SIGUSR2', resolve));
process.stdout.write('ready\n');
await told;
for (let id = FIRST_ID; id < FIRST_ID + IDS; id += IN_ONE) {
  if (!line.send({ type: 'awareness', update: forged(id) })) await line.drained();
}
await line.handled();
process.stdout.write('handled\n');
