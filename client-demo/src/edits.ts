import type { Saves } from '../../server/browser.ts';

/** How many edits the server does not have. */
export function edits({ unsaved, refused }: Saves): number {
  return unsaved + refused;
}

/** As people say it. */
export function countEdits(saves: Saves): string {
  return edits(saves) === 1 ? '1 edit' : `${edits(saves)} edits`;
}
