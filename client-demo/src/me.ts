import { element } from './element.ts';
import { field } from './field.ts';
import { cleanColour, cleanName } from './person.ts';
import type { OwnPresence } from './presence.ts';
import { recall, remember } from './stored.ts';

const key = 'me';
const colours = ['#2f6fde', '#c2410c', '#0f8a5f', '#9333c8', '#be185d', '#8a6d00', '#0e7490', '#5b5bd6'];
const adjectives = ['Calm', 'Brave', 'Quick', 'Kind', 'Sunny', 'Witty', 'Gentle', 'Lucky'];
const animals = ['Otter', 'Heron', 'Fox', 'Badger', 'Lynx', 'Wren', 'Hare', 'Seal'];

interface Me {
  name: string;
  colour: string;
}

/**
 * Connects the name and colour fields with this browser's storage.
 * @returns a function that tells a document's others who we are
 */
export function setUpMe(): (presence: OwnPresence) => void {
  const me = load();
  const name = element('my-name', HTMLInputElement);
  const colour = element('my-colour', HTMLInputElement);
  name.value = me.name;
  colour.value = me.colour;

  const change = (): void => {
    me.name = cleanName(name.value) || me.name;
    me.colour = cleanColour(colour.value);
    remember(key, JSON.stringify(me));
  };
  name.addEventListener('input', change);
  colour.addEventListener('input', change);
  name.addEventListener('blur', () => (name.value = me.name));
  element('me', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    name.blur();
  });
  // The names of these fields are those that other editors for Yjs use.
  return (presence) => presence.set('user', { name: me.name, color: me.colour });
}

function load(): Me {
  let kept: unknown;
  try {
    kept = JSON.parse(recall(key) ?? '{}');
  } catch {
    // It holds something else: then this visit gets a new name.
  }
  const name = cleanName(field(kept, 'name')) || `${pick(adjectives)} ${pick(animals)}`;
  const me = { name, colour: cleanColour(field(kept, 'colour') ?? pick(colours)) };
  remember(key, JSON.stringify(me));
  return me;
}

function pick(list: readonly string[]): string {
  return list[Math.floor(Math.random() * list.length)] ?? '';
}
