// The state of a ranking while it is made: no page, no server, only what each act does to it.
"use strict";

class RankingState {
  // letters: ["a", …] as shown; groups: best first; a boundary stands below each group but the last.
  constructor(letters, tiesAllowed) {
    this.letters = letters;
    this.tiesAllowed = tiesAllowed;
    this.groups = [];
    this.boundaries = [];
    this.marks = new Map(letters.map((letter) => [letter, new Set()]));
    this.acts = 0;
    this.lastNamed = null; // the boundary that was named last, by the groups on its two sides
    this.past = [];
  }

  // --- what is ---

  unplaced() {
    const placed = new Set(this.groups.flat());
    return this.letters.filter((letter) => !placed.has(letter));
  }

  groupOf(letter) {
    return this.groups.findIndex((group) => group.includes(letter));
  }

  openBoundary() {
    const open = this.boundaries.findIndex((boundary) => !boundary.ability);
    return open < 0 ? null : open;
  }

  // --- acts ---

  place(letter) {
    if (!this.unplaced().length && this.groups.at(-1).join() === letter) return false;
    this.remember();
    const groups = this.without(letter);
    groups.push([letter]);
    this.arrange(groups);
    this.fallIntoPlace();
    this.acts += 1;
    return true;
  }

  tie(letter) {
    if (!this.tiesAllowed) return false;
    const at = this.groupOf(letter);
    const above = at < 0 ? this.groups.length - 1 : at - 1;
    if (above < 0) return false;
    this.remember();
    const partner = this.groups[above][0];
    const groups = this.without(letter);
    groups.find((group) => group.includes(partner)).push(letter);
    this.arrange(groups);
    this.fallIntoPlace();
    this.acts += 1;
    return true;
  }

  // Moves a placed response one step: out of its tie, else over its neighbour.
  move(letter, step) {
    const at = this.groupOf(letter);
    if (at < 0) return false;
    const tied = this.groups[at].length > 1;
    const target = tied ? at + (step > 0 ? 1 : 0) : at + step;
    if (!tied && (target < 0 || target >= this.groups.length)) return false;
    this.remember();
    const groups = this.without(letter);
    groups.splice(target, 0, [letter]);
    this.arrange(groups);
    this.acts += 1;
    return true;
  }

  // Takes over an order that was dragged together; says whether it is another one.
  rearrange(groups) {
    const sorted = (list) => JSON.stringify(list.map((group) => [...group].sort()));
    const tied = groups.some((group) => group.length > 1);
    if ((tied && !this.tiesAllowed) || sorted(groups) === sorted(this.groups)) return false;
    this.remember();
    this.arrange(groups);
    this.fallIntoPlace();
    this.acts += 1;
    return true;
  }

  name(index, ability, clear = false) {
    if (index === null || !this.boundaries[index]) return false;
    this.remember();
    this.boundaries[index] = { ability, clear };
    this.lastNamed = this.sides(index);
    return true;
  }

  clearly() {
    const index = this.boundaries.findIndex((boundary, at) => boundary.ability && this.sides(at) === this.lastNamed);
    if (index < 0) return false;
    this.remember();
    this.boundaries[index] = { ...this.boundaries[index], clear: !this.boundaries[index].clear };
    return true;
  }

  mark(letter, ability) {
    this.remember();
    const marks = new Set(this.marks.get(letter));
    const added = !marks.delete(ability);
    if (added) marks.add(ability);
    this.marks.set(letter, marks);
    return added;
  }

  // Takes over what a form says, as a step that can be taken back.
  take(fields) {
    this.remember();
    this.read(fields);
  }

  undo() {
    const before = this.past.pop();
    if (!before) return false;
    Object.assign(this, before);
    return true;
  }

  remember() {
    this.past.push({
      groups: this.groups.map((group) => [...group]),
      boundaries: this.boundaries.map((boundary) => ({ ...boundary })),
      marks: new Map([...this.marks].map(([letter, marks]) => [letter, new Set(marks)])),
      acts: this.acts,
      lastNamed: this.lastNamed,
    });
    if (this.past.length > 200) this.past.shift();
  }

  // --- inside ---

  without(letter) {
    return this.groups.map((group) => group.filter((each) => each !== letter)).filter((group) => group.length);
  }

  // A boundary keeps its ability only while both of its neighbours stay what they were.
  arrange(groups) {
    const known = new Map(this.boundaries.map((boundary, index) => [this.sides(index), boundary]));
    this.groups = groups.map((group) => [...group].sort());
    this.boundaries = this.groups.slice(1).map((_, index) => known.get(this.sides(index)) || { ability: null, clear: false });
  }

  // The groups above and below a boundary, as one name.
  sides(index) {
    return `${this.groups[index]}|${this.groups[index + 1]}`;
  }

  fallIntoPlace() {
    const left = this.unplaced();
    if (left.length === 1 && this.groups.length) this.arrange([...this.groups, left]);
  }

  // --- to and from the form's fields ---

  fields() {
    const fields = {};
    for (const letter of this.letters) {
      const at = this.groupOf(letter);
      fields[`place-${letter}`] = at < 0 ? "" : String(at + 1);
      fields[`fault-${letter}`] = [...this.marks.get(letter)].map(String);
    }
    for (let i = 1; i < this.letters.length; i += 1) {
      const boundary = this.boundaries[i - 1];
      fields[`ability-${i}`] = boundary?.ability ? String(boundary.ability) : "";
      fields[`strength-${i}`] = boundary?.ability ? (boundary.clear ? "clear" : "slight") : "";
    }
    return fields;
  }

  read(fields) {
    const places = new Map();
    for (const letter of this.letters) {
      const place = Number(fields[`place-${letter}`] || 0);
      if (place) places.set(place, [...(places.get(place) || []), letter]);
      this.marks.set(letter, new Set((fields[`fault-${letter}`] || []).map(Number)));
    }
    this.lastNamed = null;
    this.groups = [...places.keys()].sort((x, y) => x - y).map((place) => places.get(place));
    this.boundaries = this.groups.slice(1).map((_, i) => ({
      ability: Number(fields[`ability-${i + 1}`] || 0) || null,
      clear: fields[`strength-${i + 1}`] === "clear",
    }));
  }
}
