import { type RawClient, UpgradeRefused, rawHocuspocus, rawYWebsocket } from './raw-client.ts';

/** The ways by which a token comes with a socket. */
export const DOORS = [
  'y-websocket with ?token=',
  'y-websocket with a subprotocol',
  'y-websocket with Authorization',
  'y-websocket from a page',
  'Hocuspocus with an Auth frame',
] as const;
export type Door = (typeof DOORS)[number];

/** A document that is kept open on a Hocuspocus socket, so that refusing the other one leaves the socket open. */
const BESIDE = 'beside';

export interface Visitor {
  document: string;
  /** `null` for none. */
  token: string | null;
  /** Opens what is beside the document. */
  goodToken: string;
  headers?: Record<string, string>;
}

export interface Visit {
  /** `open`, or why not: `401 unauthorized`, `denied unauthorized`. */
  outcome: string;
  /** Missing when the socket itself was refused. */
  client?: RawClient;
  /** How the document is taken away later: `4401 token_expired`, `denied token_expired`. */
  end(): Promise<string>;
}

export async function enter(door: Door, url: string, visitor: Visitor): Promise<Visit> {
  try {
    return await (door === 'Hocuspocus with an Auth frame'
      ? enterByFrame(url, visitor)
      : enterByUpgrade(door, url, visitor));
  } catch (error) {
    if (!(error instanceof UpgradeRefused)) throw error;
    return { outcome: `${error.status} ${error.body.trim()}`, end: () => Promise.reject(error) };
  }
}

async function enterByUpgrade(door: Door, url: string, visitor: Visitor): Promise<Visit> {
  const { document, token, headers } = visitor;
  const isInQuery = door === 'y-websocket with ?token=' || door === 'y-websocket from a page';
  const inQuery = isInQuery && token !== null ? `&token=${token}` : '';
  const client = await rawYWebsocket(`${url}/${encodeURIComponent(document)}?acks=1${inQuery}`, {
    headers: {
      ...(door === 'y-websocket from a page' && { Origin: url }),
      ...headers,
      ...(door === 'y-websocket with Authorization' &&
        token !== null && { Authorization: `Bearer ${token}` }),
    },
    protocols: door === 'y-websocket with a subprotocol' ? subprotocols(token) : [],
  });
  const end = async () => {
    const { code, reason } = await client.closed();
    return `${code} ${reason}`;
  };
  // A page is let in, and then shown out.
  client.send({ type: 'query-awareness' });
  const stays = client.next('awareness').then(
    () => true,
    () => false,
  );
  return (await stays) ? { outcome: 'open', client, end } : { outcome: await end(), end };
}

/** What a browser offers, to bring a token in no URL. */
export function subprotocols(token: string | null): string[] {
  return token === null ? ['indelible'] : ['indelible', `token.${token}`];
}

async function enterByFrame(url: string, { document, token, goodToken, headers }: Visitor): Promise<Visit> {
  const client = await rawHocuspocus(url, { headers: headers ?? {} });
  client.send({ type: 'token', token: goodToken }, BESIDE);
  await client.next('authenticated');
  client.send({ type: 'token', token: token ?? '' }, document);
  const answer = await Promise.race([client.next('denied'), client.next('authenticated')]);
  const end = async () => `denied ${(await client.next('denied')).reason}`;
  return { outcome: answer.type === 'denied' ? `denied ${answer.reason}` : 'open', client, end };
}
