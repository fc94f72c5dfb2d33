import { WebsocketProvider } from 'y-websocket';
import * as Y from 'yjs';
import { type Saves, trackSaves } from '../../server/browser.ts';
import { type Address, serverUrl } from './address.ts';

/** One open document: its text, its line to the server, and what is known to be saved. */
export interface Session {
  readonly name: string;
  readonly text: Y.Text;
  readonly provider: WebsocketProvider;
  readonly saves: Saves;
  readonly close: () => void;
}

export type Awareness = WebsocketProvider['awareness'];

/** The name of the text in the document. */
export const rootName = 'content';

export function openSession({ name, path, token }: Address): Session {
  const doc = new Y.Doc();
  const params = { acks: '1', ...(token !== undefined && { token }) };
  const provider = new WebsocketProvider(serverUrl(), path, doc, { params });
  const saves = trackSaves(provider);

  // A browser that goes offline leaves an open WebSocket open and silent. A new attempt tells whether the server
  // is really out of reach: one on this machine is not.
  const redial = (): void => {
    if (!provider.shouldConnect) return; // the server said not to
    provider.disconnect();
    provider.connect();
  };
  window.addEventListener('offline', redial);

  const close = (): void => {
    window.removeEventListener('offline', redial);
    saves.destroy();
    provider.destroy();
    doc.destroy();
  };
  return { name, text: doc.getText(rootName), provider, saves, close };
}
