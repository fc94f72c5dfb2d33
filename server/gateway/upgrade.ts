import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { STATUS_CODES } from 'node:http';
import proxyAddress from 'proxy-addr';
import { WebSocket, WebSocketServer } from 'ws';
import type { Access, Decision } from '../auth/access.ts';
import { documentNameOf } from '../auth/names.ts';
import type { AllowsOrigin } from '../auth/origins.ts';
import type { Hub } from '../documents/hub.ts';
import { bearerOf } from '../auth/tokens.ts';
import { IndelibleError, toIndelibleError } from '../errors.ts';
import type { Limits, Release } from '../limits.ts';
import type { Log } from '../log.ts';
import type { Metrics } from '../metrics.ts';
import { hocuspocusWire, yWebsocketWire } from '../protocol/wire.ts';
import { Socket } from './socket.ts';
import type { Sockets } from './sockets.ts';

/** How long a client may take to answer a close frame, and a slow one to read what waits before it. */
const CLOSE_TIMEOUT_MS = 5_000;

export interface UpgradeOptions {
  readonly hub: Hub;
  readonly sockets: Sockets;
  readonly access: Access;
  readonly counts: Limits;
  /** Whose X-Forwarded-For is believed, by {@link https://www.npmjs.com/package/proxy-addr proxy-addr}. */
  readonly trustProxy: readonly string[];
  readonly limitFrameBytes: number;
  readonly limitSendBytes: number;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly allowsOrigin: AllowsOrigin;
  isDraining(): boolean;
}

/** A frame above the limit ends its socket for good: a client that comes back would only send it again. */
class SizedWebSocket extends WebSocket {
  override close(code?: number, reason?: string): void {
    const { closeCode, code: word } = TOO_LARGE;
    if (code === UNSUPPORTED_SIZE) super.close(closeCode, word);
    else super.close(code, reason);
  }
}

const TOO_LARGE = new IndelibleError('frame_too_large');
/** The code with which `ws` refuses a frame above `maxPayload`. */
const UNSUPPORTED_SIZE = 1009;

/** What a request asks for: `/` speaks Hocuspocus, `/<name>` speaks y-websocket in one document. */
interface Door {
  /** `null` for a Hocuspocus socket. */
  readonly document: string | null;
  readonly token: string | null;
  readonly wantsAcks: boolean;
}

/** A request that may become a socket. */
interface Admitted {
  readonly door: Door;
  /** `null` for a Hocuspocus socket. */
  readonly grant: Decision | null;
}

/** Turns HTTP upgrades into sockets: a flat list of checks, each of which refuses and returns. */
export class Upgrade {
  readonly #options: UpgradeOptions;
  readonly #server: WebSocketServer;
  readonly #trusts: (address: string, hop: number) => boolean;

  constructor(options: UpgradeOptions) {
    this.#options = options;
    const server = {
      noServer: true,
      clientTracking: false,
      maxPayload: options.limitFrameBytes,
      // Edits are small, and a deflate context is 300 KB a socket.
      perMessageDeflate: false,
      handleProtocols: selectProtocol,
      WebSocket: SizedWebSocket,
      // Not in its types yet.
      closeTimeout: CLOSE_TIMEOUT_MS,
    };
    this.#server = new WebSocketServer(server);
    this.#trusts = proxyAddress.compile([...options.trustProxy]);
  }

  /** Handles an `upgrade` event. Never rejects. */
  async handle(request: IncomingMessage, tcp: Duplex, head: Buffer): Promise<void> {
    tcp.on('error', ignore);
    let release: Release | undefined;
    try {
      if (!this.#isAllowed(request)) throw new IndelibleError('forbidden_origin');
      if (this.#options.isDraining()) throw new IndelibleError('draining');
      release = this.#options.counts.admit(proxyAddress(request, this.#trusts));
      // From here on: the client may be gone before it is judged, or its handshake be wrong, and there is no socket then.
      tcp.once('close', release);
      const door = readDoor(request);
      const grant = await this.#grantFor(door);
      // Sockets are counted once when draining starts.
      if (this.#options.isDraining()) throw new IndelibleError('draining');
      this.#open(request, tcp, head, { door, grant });
    } catch (error) {
      release?.();
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

  async #grantFor({ document, token }: Door): Promise<Decision | null> {
    // A Hocuspocus client brings a token for each document, in its Auth frame.
    if (document === null) return null;
    const grant = await this.#options.access.decide({ document, token });
    this.#options.counts.checkRoom(document);
    return grant;
  }

  #open(request: IncomingMessage, tcp: Duplex, head: Buffer, admitted: Admitted): void {
    const { hub, sockets, metrics, limitSendBytes } = this.#options;
    const { door, grant } = admitted;
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
    const error = toIndelibleError(thrown);
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

/** The subprotocol of a client that brings its token as another one, `token.<JWT>`: in no URL, and in no log. */
const SUBPROTOCOL = 'indelible';
const TOKEN_PREFIX = 'token.';

/** Browsers give up when none of theirs is selected, so that anybody else's is too; but a token is never sent back. */
function selectProtocol(offered: Set<string>): string | false {
  if (offered.has(SUBPROTOCOL)) return SUBPROTOCOL;
  return [...offered].find((protocol) => !protocol.startsWith(TOKEN_PREFIX)) ?? false;
}

function readDoor(request: IncomingMessage): Door {
  const { url = '/' } = request;
  if (!url.startsWith('/')) throw new IndelibleError('bad_path');
  const [path = '/', query = ''] = url.split('?', 2);
  const parameters = new URLSearchParams(query);
  const document = path === '/' ? null : documentNameOf(path);
  if (path !== '/' && document === null) throw new IndelibleError('bad_name');
  return {
    document,
    // An empty one is none.
    token: parameters.get('token') || tokenOfHeaders(request.headers),
    wantsAcks: parameters.get('acks') === '1',
  };
}

function tokenOfHeaders(headers: IncomingHttpHeaders): string | null {
  const protocols = headers['sec-websocket-protocol']?.split(',').map((protocol) => protocol.trim()) ?? [];
  const token = protocols.find((protocol) => protocol.startsWith(TOKEN_PREFIX))?.slice(TOKEN_PREFIX.length);
  return token ?? bearerOf(headers.authorization);
}
