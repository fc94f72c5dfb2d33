import { pino, type DestinationStream, type Logger } from 'pino';

/** Structured logger. Lines never hold a token or the text of a document. */
export type Log = Logger;

/**
 * @param level - pino level, or `silent`
 * @param destination - where lines go; standard output when left out
 */
export function createLog(level: string, destination?: DestinationStream): Log {
  const options = { level, base: {}, redact: ['token', '*.token', 'headers.authorization'] };
  return destination === undefined ? pino(options) : pino(options, destination);
}
