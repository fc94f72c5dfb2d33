import * as encoding from 'lib0/encoding';

/** Parts of the encoding of an item (yjs `Item.write`): it has an origin, and its content is a string. */
const HAS_ORIGIN = 0x80;
const CONTENT_STRING = 4;

/**
 * An update that decodes, and throws when it is applied: an item that names a later item of its own client as its
 * origin, which Yjs looks up without checking that it is there.
 * @param clientID - a client whose items the document has
 * @param clock - how many it has
 */
export function throwingUpdate(clientID: number, clock: number): Uint8Array {
  return encoding.encode((encoder) => {
    encoding.writeVarUint(encoder, 1); // clients
    encoding.writeVarUint(encoder, 1); // items
    encoding.writeVarUint(encoder, clientID);
    encoding.writeVarUint(encoder, clock);
    encoding.writeUint8(encoder, HAS_ORIGIN | CONTENT_STRING);
    encoding.writeVarUint(encoder, clientID);
    encoding.writeVarUint(encoder, clock + 100);
    encoding.writeVarString(encoder, 'hostile');
    encoding.writeVarUint(encoder, 0); // clients in the delete set
  });
}
