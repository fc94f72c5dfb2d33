import type * as Y from 'yjs';
import { joinAs, type Editor, type Protocol } from './editor.ts';
import type { Closed } from './raw-client.ts';

/** Edits that somebody has on their way at a time. */
const IN_FLIGHT = 5;

/** Somebody who types without a pause, several edits on their way, until the connection ends. */
export interface Typist {
  editor: Editor;
  document: string;
  /** How the connection ended, and when: milliseconds of `performance.now()`. */
  ended: Promise<Closed & { at: number }>;
  /** Holds when as many edits are acked. */
  acked(count: number): Promise<void>;
  /** The edits that were acked and are not in this document. */
  missingIn(doc: Y.Doc | null): string[];
}

export async function startTyping(
  protocol: Protocol,
  url: string,
  document: string,
  token?: string,
): Promise<Typist> {
  const editor = await joinAs(protocol, url, document, token);
  const { socket } = editor.client;
  const edits = editor.doc.getMap<boolean>('edits');
  const sent: string[] = [];
  const type = () => {
    const key = `${protocol} ${editor.doc.clientID} ${sent.length}`;
    sent.push(key);
    edits.set(key, true);
  };
  const ended = editor.client.closed(120_000).then((end) => ({ ...end, at: performance.now() }));
  for (let edit = 0; edit < IN_FLIGHT; edit += 1) type();
  socket.on('message', () => {
    if (editor.client.frames.at(-1)?.type === 'sync-status' && socket.readyState === socket.OPEN) type();
  });
  return {
    editor,
    document,
    ended,
    async acked(count) {
      while (editor.acks().length < count) await editor.ack();
    },
    missingIn(doc) {
      const acks = editor.acks();
      if (acks.includes(false)) throw new Error('an edit was refused');
      return sent.slice(0, acks.length).filter((key) => doc?.getMap('edits').get(key) !== true);
    },
  };
}
