import type { Protocol } from '../helpers/editor.ts';
import { type Proxy, startProxy } from '../helpers/proxy.ts';
import type { ServerProcess } from '../helpers/server.ts';

/** Where somebody sits, and after them who comes in their place; with an address of its own, which may lead to any of the servers. */
export class Seat {
  readonly document: string;
  readonly protocol: Protocol;
  /** The address. */
  readonly url: string;
  readonly #line: Proxy | undefined;
  #place = 0;

  /** One whose address leads to one of several servers, as that of a load balancer does. */
  static async at(servers: readonly ServerProcess[], place: number, seat: SeatOptions): Promise<Seat> {
    const made = new Seat(seat, await startProxy(servers[place]?.url ?? ''));
    made.#place = place;
    return made;
  }

  constructor({ document, protocol }: SeatOptions, address: { url: string } | Proxy) {
    this.document = document;
    this.protocol = protocol;
    this.url = address.url;
    this.#line = 'retarget' in address ? address : undefined;
  }

  /** The place of the server that its lines lead to. */
  get place(): number {
    return this.#place;
  }

  /** New lines go to another server; one that is open stays. */
  leadTo(servers: readonly ServerProcess[], place: number): void {
    if (this.#line === undefined) throw new Error('it leads to one server for good');
    this.#place = place;
    this.#line.retarget(servers[place]?.url ?? '');
  }

  /** Whoever sits there is at another server at once, with what is on its way lost. */
  moveTo(servers: readonly ServerProcess[], place: number): void {
    this.leadTo(servers, place);
    this.#line?.reset();
  }
}

interface SeatOptions {
  readonly document: string;
  readonly protocol: Protocol;
}
