/** Options of matches and targets: what there is, what was given, and how a shortened name is understood. */
import { nearest } from '../../nearest.js'
import { syntaxError } from './error.js'
import type { Word } from './words.js'

export interface OptionSpec {
  /** Without the dashes, as it is printed. */
  readonly name: string
  readonly aliases?: readonly string[]
  /** Words that follow it. */
  readonly args: 0 | 1 | 2
  /** Whether `!` may stand before it. */
  readonly not?: true
}

export const flag = (name: string, ...aliases: string[]): OptionSpec => ({ name, aliases, args: 0 })
export const value = (name: string, ...aliases: string[]): OptionSpec => ({ name, aliases, args: 1 })
export const pair = (name: string, ...aliases: string[]): OptionSpec => ({ name, aliases, args: 2 })
export const invertible = (spec: OptionSpec): OptionSpec => ({ ...spec, not: true })

export interface GivenOption {
  readonly spec: OptionSpec
  readonly word: Word
  readonly not: boolean
  readonly args: readonly Word[]
}

/** The options that were given to one match or target. */
export class Given {
  /** The word that named the match or target. */
  readonly word: Word
  readonly name: string
  readonly #options: GivenOption[] = []

  constructor(word: Word, name: string) {
    this.word = word
    this.name = name
  }

  get empty(): boolean {
    return this.#options.length === 0
  }

  add(option: GivenOption): void {
    if (this.has(option.spec.name)) throw syntaxError(option.word, `${this.name}: "--${option.spec.name}" stands twice`, 'it may stand once')
    this.#options.push(option)
  }

  has(name: string): boolean {
    return this.#options.some(({ spec }) => spec.name === name)
  }

  get(name: string): GivenOption | null {
    return this.#options.find(({ spec }) => spec.name === name) ?? null
  }

  /** What `read` makes of the option's word; null when the option was not given. */
  read<T>(name: string, read: (word: Word, not: boolean, option: GivenOption) => T): T | null {
    const option = this.get(name)
    return option === null ? null : read(option.args[0] ?? option.word, option.not, option)
  }

  /** Like `read`, for an option that must be given. */
  need<T>(name: string, read: (word: Word, not: boolean, option: GivenOption) => T): T {
    const option = this.get(name)
    if (option === null) throw syntaxError(this.word, `${this.name} needs "--${name}"`)
    return read(option.args[0] ?? option.word, option.not, option)
  }

  /** Which of some options was given, when exactly one must be. */
  one(names: readonly string[]): GivenOption {
    const given = this.#options.filter(({ spec }) => names.includes(spec.name))
    const list = names.map((name) => `"--${name}"`).join(', ')
    if (given.length > 1) throw syntaxError(given[1]!.word, `${this.name}: "--${given[0]!.spec.name}" and "--${given[1]!.spec.name}" exclude each other`)
    if (given.length === 0) throw syntaxError(this.word, `${this.name} needs ${names.length === 1 ? '' : 'one of '}${list}`)
    return given[0]!
  }
}

/** The long names of a specification. */
export const namesOf = (spec: OptionSpec): readonly string[] => [spec.name, ...(spec.aliases ?? [])]

/**
 * The option that a long name means: the exact name in the latest group that has it, else the only option that begins so.
 * @param groups latest first
 * @returns undefined when there is none; a list of names when several fit
 */
export const findOption = <T extends { readonly options: readonly OptionSpec[] }>(
  name: string, groups: readonly T[],
): { group: T; spec: OptionSpec } | readonly string[] | undefined => {
  for (const group of groups) {
    const spec = group.options.find((each) => namesOf(each).includes(name))
    if (spec !== undefined) return { group, spec }
  }
  const fitting = new Map<OptionSpec, { group: T; spec: OptionSpec }>()
  const hidden = new Set<string>()
  for (const group of groups) {
    for (const spec of group.options) {
      const names = namesOf(spec).filter((each) => each.startsWith(name) && !hidden.has(each))
      if (names.length > 0 && !fitting.has(spec)) fitting.set(spec, { group, spec })
    }
    for (const spec of group.options) for (const each of namesOf(spec)) hidden.add(each)
  }
  if (fitting.size <= 1) return fitting.values().next().value
  return [...fitting.keys()].map((spec) => spec.name)
}

/** @param known names of options that could have been meant */
export const unknownOption = (word: Word, name: string, known: readonly string[]): Error => {
  const like = nearest(name, known)
  return syntaxError(word, `unknown option "--${name}"`, like === undefined ? undefined : `did you mean "--${like}"?`)
}
