import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { STATUS_CODES } from 'node:http';
import { WebSocketServer } from 'ws';
import { documentNameOf } from '../auth/names.ts';
import type { AllowsOrigin } from '../auth/origins.ts';
import type { Grant } from '../auth/grant.ts';
import type { Hub } from '../documents/hub.ts';
import { IndelibleError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { hocuspocusWire, yWebsocketWire } from '../protocol/wire.ts';
import { Socket } from './socket.ts';
import type { Sockets } from './sockets.ts';

export interface UpgradeOptions {
  readonly hub: Hub;
  readonly sockets: Sockets;
  readonly limitFrameBytes: number;
  readonly limitSendBytes: number;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly allowsOrigin: AllowsOrigin;
  isDraining(): boolean;
}

/** What a request asks for: `/` speaks Hocuspocus, `/<name>` speaks y-websocket in one document. */
interface Door {
  /** `null` for a Hocuspocus socket. */
  readonly document: string | null;
  readonly token: string | null;
  readonly wantsAcks: boolean;
}

/** Turns HTTP upgrades into sockets: a flat list of checks, each of which refuses and returns. */
export class Upgrade {
  readonly #options: UpgradeOptions;
  readonly #server: WebSocketServer;

  constructor(options: UpgradeOptions) {
    this.#options = options;
    this.#server = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      maxPayload: options.limitFrameBytes,
      // Edits are small, and a deflate context is 300 KB a socket.
      perMessageDeflate: false,
    });
  }

  /** Handles an `upgrade` event. Never rejects. */
  async handle(request: IncomingMessage, tcp: Duplex, head: Buffer): Promise<void> {
    tcp.on('error', ignore);
    try {
      if (!this.#isAllowed(request)) throw new IndelibleError('forbidden_origin');
      if (this.#options.isDraining()) throw new IndelibleError('draining');
      const door = readDoor(request);
      const grant = await this.#grantFor(door);
      // Sockets are counted once when draining starts.
      if (this.#options.isDraining()) throw new IndelibleError('draining');
      this.#open(request, tcp, head, door, grant);
    } catch (error) {
      this.#refuseOrCut(request, tcp, head, error);
    }
  }

  #isAllowed({ headers }: IncomingMessage): boolean {
    return this.#options.allowsOrigin(headers.origin, headers.host);
  }

  #refuseOrCut(request: IncomingMessage, tcp: Duplex, head: Buffer, error: unknown): void {
    try {
      this.#refuse(request, tcp, head, error);
    } catch (cause) {
      // Where the handshake was made already, there is no second one.
      this.#options.log.error({ err: cause }, 'a refusal failed');
      tcp.destroy();
    }
  }

  async #grantFor({ document, token }: Door): Promise<Grant | null> {
    // A Hocuspocus client brings a token for each document, in its Auth frame.
    return document === null ? null : this.#options.hub.authorize({ document, token });
  }

  #open(request: IncomingMessage, tcp: Duplex, head: Buffer, door: Door, grant: Grant | null): void {
    const { hub, sockets, metrics, limitSendBytes } = this.#options;
    const { document, wantsAcks } = door;
    this.#server.handleUpgrade(request, tcp, head, (ws) => {
      tcp.off('error', ignore);
      const wire = document === null ? hocuspocusWire : yWebsocketWire(document, wantsAcks);
      const onClose = () => sockets.delete(socket);
      const socket: Socket = new Socket(ws, tcp, { hub, wire, metrics, limitSendBytes, onClose });
      sockets.add(socket);
      if (document !== null && grant !== null) socket.session.open(document, grant);
    });
  }

  /**
   * A browser cannot see the status of a refused upgrade: it reports 1006, and the provider tries for ever. So where
   * there is an Origin that may connect the handshake is made, and the socket closed at once with a code that says why.
   */
  #refuse(request: IncomingMessage, tcp: Duplex, head: Buffer, thrown: unknown): void {
    const error = thrown instanceof IndelibleError ? thrown : new IndelibleError('internal_error');
    if (error !== thrown) this.#options.log.error({ err: thrown }, 'an upgrade failed');
    this.#options.metrics.refused.inc({ code: error.code });
    if (request.headers.origin === undefined || !this.#isAllowed(request)) {
      const { status } = error;
      // A client that keeps its side open would keep the socket.
      tcp.once('finish', () => tcp.destroy());
      tcp.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\n\r\n${error.code}\n`);
      return;
    }
    this.#server.handleUpgrade(request, tcp, head, (ws) => {
      ws.on('error', ignore);
      ws.close(error.closeCode, error.code);
    });
  }
}

function ignore(): void {}

function readDoor(request: IncomingMessage): Door {
  const [path = '/', query = ''] = (request.url ?? '/').split('?', 2);
  const parameters = new URLSearchParams(query);
  const document = path === '/' ? null : documentNameOf(path);
  if (path !== '/' && document === null) throw new IndelibleError('bad_name');
  const bearer = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
  return {
    document,
    token: parameters.get('token') ?? bearer ?? null,
    wantsAcks: parameters.get('acks') === '1',
  };
}
