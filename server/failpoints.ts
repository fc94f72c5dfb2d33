/** Instants at which an ending process could lose something, in the order in which they come. */
export type Failpoint =
  | 'commit.before'
  | 'commit.after'
  | 'ack.before'
  | 'ack.after'
  | 'fold.read'
  | 'fold.merged'
  | 'fold.locked'
  | 'fold.replaced'
  | 'fold.deleted'
  | 'fold.committed';

type Reach = (name: Failpoint) => void;

/** Where what is loaded before the server, as the tests of faults do, may leave a function that ends the process. */
const CHOSEN = Symbol.for('indelible.failpoint');

/** Says that the process has come to a failpoint. Does nothing, unless something else was chosen before the start. */
export const failpoint: Reach = (globalThis as { [CHOSEN]?: Reach })[CHOSEN] ?? (() => {});
