import { element } from './element.ts';
import { cleanColour, cleanName, field } from './person.ts';
import type { Awareness } from './session.ts';

const storageKey = 'indelible:me';
const colours = ['#2f6fde', '#c2410c', '#0f8a5f', '#9333c8', '#be185d', '#8a6d00', '#0e7490', '#5b5bd6'];
const adjectives = ['Calm', 'Brave', 'Quick', 'Kind', 'Sunny', 'Witty', 'Gentle', 'Lucky'];
const animals = ['Otter', 'Heron', 'Fox', 'Badger', 'Lynx', 'Wren', 'Hare', 'Seal'];

interface Me {
  name: string;
  colour: string;
}

/**
 * Connects the name and colour fields with this browser's storage, and hands every change to `onChange`.
 * @returns a function that tells a document's others who we are
 */
export function setUpMe(onChange: () => void): (awareness: Awareness) => void {
  const me = load();
  const name = element('my-name', HTMLInputElement);
  const colour = element('my-colour', HTMLInputElement);
  name.value = me.name;
  colour.value = me.colour;

  const change = (): void => {
    me.name = cleanName(name.value) || me.name;
    me.colour = cleanColour(colour.value);
    store(me);
    onChange();
  };
  name.addEventListener('input', change);
  colour.addEventListener('input', change);
  name.addEventListener('blur', () => (name.value = me.name));
  element('me', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault();
    name.blur();
  });
  // The names of these fields are those that other editors for Yjs use.
  return (awareness) => awareness.setLocalStateField('user', { name: me.name, color: me.colour });
}

function load(): Me {
  let kept: unknown;
  try {
    kept = JSON.parse(localStorage.getItem(storageKey) ?? '{}');
  } catch {
    // Storage may be switched off or hold something else: then this visit gets a new name.
  }
  const name = cleanName(field(kept, 'name')) || `${pick(adjectives)} ${pick(animals)}`;
  const me = { name, colour: cleanColour(field(kept, 'colour') ?? pick(colours)) };
  store(me);
  return me;
}

function store(me: Me): void {
  try {
    localStorage.setItem(storageKey, JSON.stringify(me));
  } catch {
    // See `load`.
  }
}

function pick(list: readonly string[]): string {
  return list[Math.floor(Math.random() * list.length)] ?? '';
}
