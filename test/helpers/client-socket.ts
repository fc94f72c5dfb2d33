import { WebSocket } from 'ws';

/**
 * What sees everything that goes over the sockets of a provider. It is told over which: one that a provider has left may
 * still deliver when it has another.
 */
export interface SocketTap {
  /** Sees every message before it goes out. */
  onSend?: ((bytes: Uint8Array, socket: object) => void) | undefined;
  /** Sees every message before the provider does. */
  onReceive?: ((bytes: Uint8Array, socket: object) => void) | undefined;
  /** Called for each new connection, before anything goes over it. */
  onConnect?: ((socket: object) => void) | undefined;
}

export interface ClientSocketOptions extends SocketTap {
  headers?: Record<string, string> | undefined;
}

/**
 * A WebSocket class for the providers. Built on `ws`, not on Node's own: it closes at once and reports the codes that
 * arrived, and it can send headers (an Origin, a cookie), which the providers have no option for.
 */
export function clientSocket({
  headers,
  onSend,
  onReceive,
  onConnect,
}: ClientSocketOptions): typeof globalThis.WebSocket {
  class ClientSocket extends WebSocket {
    constructor(url: string, protocols: string[] = []) {
      super(url, protocols, { headers });
      // The providers take their listeners off before closing, and `ws` reports a close while connecting as an error.
      this.on('error', () => {});
      onConnect?.(this);
      this.on('message', (data: Buffer | ArrayBuffer) => onReceive?.(new Uint8Array(data), this));
    }

    override send(data: Uint8Array): void {
      onSend?.(data, this);
      super.send(data);
    }
  }
  return ClientSocket as unknown as typeof globalThis.WebSocket;
}
