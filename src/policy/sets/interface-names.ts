/** Names of interfaces by number, so that packets and elements carry a number. Names are never forgotten: there are few. */

/** Stands for no interface. */
export const NO_INTERFACE = 0
const NAMES_MAX = 65536

export class InterfaceNames {
  readonly #names: string[] = ['']
  readonly #numbers = new Map<string, number>([['', NO_INTERFACE]])

  /** The number of a name, given to it when it is new; -1 when there are too many. */
  numberOf(name: string): number {
    const known = this.#numbers.get(name)
    if (known !== undefined) return known
    if (this.#names.length === NAMES_MAX) return -1
    this.#numbers.set(name, this.#names.length)
    return this.#names.push(name) - 1
  }

  nameOf(number: number): string {
    return this.#names[number]!
  }

  /** Whether the name of one begins with the name of the other. */
  beginsWith(number: number, beginning: number): boolean {
    return number === beginning || this.#names[number]!.startsWith(this.#names[beginning]!)
  }
}
