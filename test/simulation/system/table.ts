import { exempt, type FaultKind, faultKinds, type Phase, phases } from './faults.js';

/** How often a fault took effect, by kind and phase. */
export class EffectTable {
  readonly #counts = new Map<string, number>();

  add(kind: FaultKind, phase: Phase): void {
    const cell = `${kind}/${phase}`;
    this.#counts.set(cell, (this.#counts.get(cell) ?? 0) + 1);
  }

  merge(other: EffectTable): void {
    for (const [cell, count] of other.#counts) this.#counts.set(cell, (this.#counts.get(cell) ?? 0) + count);
  }

  count(kind: FaultKind, phase: Phase): number {
    return this.#counts.get(`${kind}/${phase}`) ?? 0;
  }

  /** By `kind/phase`, to be sent between processes. */
  entries(): [cell: string, count: number][] {
    return [...this.#counts];
  }

  static of(entries: Iterable<readonly [cell: string, count: number]>): EffectTable {
    const table = new EffectTable();
    for (const [cell, count] of entries) table.#counts.set(cell, count);
    return table;
  }

  get total(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Cells in which nothing took effect, but for those that are exempt, as `kind/phase`. */
  empty(): string[] {
    return faultKinds.flatMap((kind) =>
      phases
        .filter((phase) => exempt[kind]?.[phase] === undefined && this.count(kind, phase) === 0)
        .map((phase) => `${kind}/${phase}`),
    );
  }

  /** For people: one row per kind of fault, one column per phase; `-` is an empty cell that cannot exist (faults.ts says why). */
  toString(): string {
    const cells = (kind: FaultKind): string[] =>
      phases.map((phase) => {
        const count = this.count(kind, phase);
        return count === 0 && exempt[kind]?.[phase] !== undefined ? '-' : String(count);
      });
    const widths = phases.map((phase, i) =>
      Math.max(phase.length, ...faultKinds.map((kind) => cells(kind)[i].length)),
    );
    const nameWidth = Math.max(...faultKinds.map(({ length }) => length));
    const line = (name: string, row: readonly string[]): string =>
      [name.padEnd(nameWidth), ...row.map((cell, i) => cell.padStart(widths[i]))].join('  ');
    return [line('', phases), ...faultKinds.map((kind) => line(kind, cells(kind)))].join('\n');
  }
}
