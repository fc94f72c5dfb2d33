import { WebSocketStatus } from '@hocuspocus/provider';
import type * as Y from 'yjs';
import type { SocketTap } from './client-socket.ts';
import { type Client, connectHocuspocus, connectYWebsocket } from './clients.ts';
import type { Protocol } from './editor.ts';

/** A real client of either protocol whose line can be closed for a while. */
export interface Person extends Client<unknown> {
  goOffline(): void;
  goOnline(): void;
}

/** Somebody in a document, who asks for acks. */
export function connectPerson(
  protocol: Protocol,
  url: string,
  document: string,
  options: { doc: Y.Doc; tap?: SocketTap },
): Person {
  if (protocol === 'y-websocket') {
    const client = connectYWebsocket(url, encodeURIComponent(document), { ...options, acks: true });
    const { provider } = client;
    return { ...client, goOffline: () => provider.disconnect(), goOnline: () => provider.connect() };
  }
  const client = connectHocuspocus(url, document, options);
  const line = client.provider.configuration.websocketProvider;
  // Connecting rejects never, and does nothing before the old connection has ended.
  const connectAgain = () => {
    line.off('disconnect', connectAgain);
    void line.connect();
  };
  const goOnline = () => {
    if (line.status === WebSocketStatus.Connected) line.on('disconnect', connectAgain);
    else connectAgain();
  };
  const goOffline = () => {
    line.off('disconnect', connectAgain);
    line.disconnect();
  };
  return { ...client, goOffline, goOnline };
}
