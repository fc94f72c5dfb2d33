import { field } from './field.ts';

/** Somebody who has the document open, as others see them. */
export interface Person {
  readonly id: number;
  readonly name: string;
  /** `#rrggbb` */
  readonly colour: string;
  /** Has not touched the page for a while, or does not look at it. */
  readonly isIdle: boolean;
}

const maxNameLength = 40;

const unknownColour = '#7a7a7a';
// Control characters, and those that reorder the text around them.
const unprintable = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/** Reads an awareness state. Anybody can write anything there, so nothing of it is taken on trust. */
export function readPerson(id: number, state: unknown): Person {
  const user = field(state, 'user');
  return {
    id,
    name: cleanName(field(user, 'name')) || 'Anonymous',
    colour: cleanColour(field(user, 'color')),
    isIdle: field(state, 'idle') === true,
  };
}

export function cleanName(name: unknown): string {
  if (typeof name !== 'string') return '';
  const printable = name.slice(0, 4 * maxNameLength).replace(unprintable, '');
  return Array.from(printable).slice(0, maxNameLength).join('').trim();
}

/** A colour ends up in a style: only `#rrggbb` passes. */
export function cleanColour(colour: unknown): string {
  return typeof colour === 'string' && /^#[0-9a-f]{6}$/i.test(colour) ? colour : unknownColour;
}
