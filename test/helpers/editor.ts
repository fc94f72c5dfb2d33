import * as Y from 'yjs';
import { type RawClient, rawHocuspocus, rawYWebsocket } from './raw-client.ts';

export const PROTOCOLS = ['y-websocket', 'hocuspocus'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** A raw client in one document, with a Y.Doc whose changes it sends, and nothing else that it does by itself. */
export interface Editor {
  client: RawClient;
  doc: Y.Doc;
  /** Appends to the text and sends the update. */
  type(text: string): Uint8Array;
  send(update: Uint8Array, type?: 'update' | 'step2'): void;
  /** The next ack: committed or refused. */
  ack(deadlineMs?: number): Promise<boolean>;
  /** Acks that have come so far. */
  acks(): boolean[];
  /** What the server has of the document. */
  ask(): Promise<Y.Doc>;
}

/** @param token - of the client, if any */
export async function joinAs(protocol: Protocol, url: string, name: string, token?: string): Promise<Editor> {
  const client = await connect(protocol, url, name, token);
  const doc = new Y.Doc();
  const send: Editor['send'] = (update, type = 'update') => client.send({ type, update }, name);
  let typed: Uint8Array = new Uint8Array();
  doc.on('update', (update: Uint8Array) => {
    typed = update;
    send(update);
  });
  return {
    client,
    doc,
    send,
    type(text) {
      const content = doc.getText('content');
      content.insert(content.length, text);
      return typed;
    },
    ack: async (deadlineMs) => (await client.next('sync-status', deadlineMs)).saved,
    acks: () => client.frames.flatMap((frame) => (frame.type === 'sync-status' ? [frame.saved] : [])),
    async ask() {
      client.send({ type: 'step1', stateVector: Y.encodeStateVector(new Y.Doc()) }, name);
      const answer = new Y.Doc();
      Y.applyUpdate(answer, (await client.next('step2', 30_000)).update);
      return answer;
    },
  };
}

async function connect(protocol: Protocol, url: string, name: string, token?: string): Promise<RawClient> {
  if (protocol === 'y-websocket') {
    const query = new URLSearchParams({ acks: '1', ...(token !== undefined && { token }) });
    return rawYWebsocket(`${url}/${encodeURIComponent(name)}?${query.toString()}`);
  }
  const client = await rawHocuspocus(url);
  client.send({ type: 'token', token: token ?? '' }, name);
  return client;
}

/** The text of a document, as these editors type it. */
export function textOf(doc: Y.Doc): string {
  return doc.getText('content').toString();
}

/**
 * Somebody who types at the end of a text; each call gives the update of what was typed, which needs those before it.
 * @param received - what was there before
 */
export function typist(clientID = 1, ...received: Uint8Array[]): (text: string) => Uint8Array {
  const doc = new Y.Doc();
  for (const update of received) Y.applyUpdate(doc, update);
  // Afterwards: Yjs takes another id when somebody else seems to have it.
  doc.clientID = clientID;
  const content = doc.getText('content');
  return (text) => {
    const before = Y.encodeStateVector(doc);
    content.insert(content.length, text);
    return Y.encodeStateAsUpdate(doc, before);
  };
}

/** The update that types a text into an empty document. */
export function updateOf(text: string): Uint8Array {
  const doc = new Y.Doc();
  doc.getText('content').insert(0, text);
  return Y.encodeStateAsUpdate(doc);
}
