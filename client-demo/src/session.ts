import { WebsocketProvider } from 'y-websocket';
import * as Y from 'yjs';
import { type Saves, trackSaves } from '../../server/browser.ts';
import { type Address, keyOf, socketUrl } from './address.ts';
import { Line } from './line.ts';
import { openLocalCopy } from './local-copy.ts';
import { Permission } from './permission.ts';
import { type Awareness, OwnPresence, forgetThoseGone } from './presence.ts';
import { Traffic } from './traffic.ts';
import { Turn } from './turn.ts';

/** One open document: its text, its line to the server, and what is known of both. */
export interface Session {
  readonly address: Address;
  readonly text: Y.Text;
  readonly awareness: Awareness;
  readonly presence: OwnPresence;
  readonly turn: Turn;
  readonly line: Line;
  readonly saves: Saves;
  readonly permission: Permission;
  readonly traffic: Traffic;
  /** Whether this browser keeps the document. */
  readonly isKept: boolean;
  /** Holds when the server's state has arrived. */
  readonly synced: Promise<void>;
  /** Forgets what this browser keeps of the document; the caller closes the session at once. */
  readonly discard: () => void;
  readonly close: () => void;
}

/** The name of the text in the document. */
export const rootName = 'content';

/** Opens a document: first what this browser has of it, then the line to the server. */
export async function openSession(address: Address): Promise<Session> {
  const doc = new Y.Doc();
  const copy = await openLocalCopy(address, doc);
  const traffic = new Traffic();
  const provider = new WebsocketProvider(socketUrl(), address.path, doc, {
    params: { acks: '1', ...(address.token !== undefined && { token: address.token }) },
    connect: false,
    shouldReconnect: () => false, // the line does
    disableBc: true, // what another tab could not send would look saved here
    WebSocketPolyfill: traffic.Socket,
  });
  traffic.follow(provider);
  const saves = trackSaves(provider, { unsaved: copy.unsaved });
  const stopCounting = copy.follow(saves);
  const permission = new Permission(address, provider);
  forgetThoseGone(provider);
  const { awareness } = provider;
  const presence = new OwnPresence(awareness);
  const turn = new Turn(keyOf(address), doc.clientID, (isMine) => presence.show(isMine));
  const synced = new Promise<void>((resolve) => provider.once('sync', () => resolve()));
  const line = new Line(provider, copy.isOrphan);
  line.subscribe(() => {
    const { state } = line;
    if (state.kind === 'refused' && state.why === 'deleted') copy.isOrphan = true;
  });
  provider.on('sync', (isSynced: boolean) => {
    if (isSynced) copy.isOrphan = false;
  });
  return {
    address,
    text: doc.getText(rootName),
    awareness,
    presence,
    turn,
    line,
    saves,
    permission,
    traffic,
    isKept: copy.isKept,
    synced,
    discard: copy.discard,
    close() {
      turn.end();
      line.close();
      permission.close();
      stopCounting();
      saves.destroy();
      provider.destroy();
      doc.destroy();
    },
  };
}
