import { once } from 'node:events';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import { type CryptoKey, type JWK, exportJWK, generateKeyPair } from 'jose';
import { atTestEnd } from './cleanup.ts';
import { freePort } from './ports.ts';
import { type Claims, mint } from './tokens.ts';

/** A key of an identity provider. */
export interface ProviderKey {
  /** Its public half, as it is published. */
  jwk: JWK;
  publicKey: CryptoKey;
  /** A token signed with it; it names the key if that has a name. */
  mint(claims?: Claims): Promise<string>;
}

/** @param kid - its name; without one, tokens do not say which key they are signed with */
export async function createKey(alg: string, kid?: string): Promise<ProviderKey> {
  const { publicKey, privateKey } = await generateKeyPair(alg);
  const named = kid === undefined ? {} : { kid };
  return {
    jwk: { ...(await exportJWK(publicKey)), alg, use: 'sig', ...named },
    publicKey,
    mint: (claims) => mint(claims, { key: privateKey, alg, ...named }),
  };
}

/** The key server of an identity provider. */
export interface KeyServer {
  jwksUrl: string;
  /** Serves these keys from now on, and no others. */
  publish(...keys: ProviderKey[]): void;
  /** Answers with something else from now on; `silence` takes the question and never answers. */
  say(what: 'garbage' | 'silence'): void;
  /** How often it has been asked. */
  requests(): number;
  stop(): Promise<void>;
  start(): Promise<void>;
}

/** Runs until the end of the test. */
export async function startKeyServer(...keys: ProviderKey[]): Promise<KeyServer> {
  const port = await freePort();
  let answer: string | undefined;
  let requests = 0;
  const server = createServer((_request: IncomingMessage, response: ServerResponse) => {
    requests += 1;
    if (answer !== undefined) response.setHeader('Content-Type', 'application/json').end(answer);
  });
  const keyServer: KeyServer = {
    jwksUrl: `http://127.0.0.1:${port}/keys`,
    publish: (...published) => (answer = JSON.stringify({ keys: published.map(({ jwk }) => jwk) })),
    say: (what) => (answer = what === 'garbage' ? '<h1>Welcome</h1>' : undefined),
    requests: () => requests,
    async stop() {
      if (!server.listening) return;
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
    async start() {
      server.listen(port, '127.0.0.1');
      await once(server, 'listening');
    },
  };
  keyServer.publish(...keys);
  atTestEnd(() => keyServer.stop());
  await keyServer.start();
  return keyServer;
}
