/**
 * From words to options, as getopt reads them for iptables: letters may stand together (`-vnL`), long names may be shortened or
 * carry their value (`--dport=80`), `!` stands before the option that it inverts, or, as in old scripts, behind it. A match or target
 * brings options of its own from the word that names it on; `-p tcp` brings those of the tcp match when one of them is met.
 */
import type { Match, Target } from '../model.js'
import { refusedError, syntaxError, unknownWord } from './error.js'
import type { MatchExtension, TargetExtension } from './extension.js'
import { MAIN_OPTIONS, type MainOption, mainOptionOfLetter } from './main-options.js'
import { MATCH_NAMES, matchNamed, matchOfProtocol } from './matches/index.js'
import { findOption, Given, type GivenOption, namesOf, type OptionSpec, unknownOption } from './options.js'
import { REFUSED_MATCHES, REFUSED_TARGETS } from './refused.js'
import { targetNamed } from './targets/index.js'
import { parseProtocol } from './values.js'
import type { Word } from './words.js'

export interface GivenMatch { readonly given: Given; readonly extension: MatchExtension; readonly parse: () => Match }
export interface GivenTarget { readonly given: Given; readonly extension: TargetExtension; readonly parse: () => Target }

export interface Scanned {
  /** Options of the command itself, in their order. */
  readonly main: readonly GivenOption[]
  readonly matches: readonly GivenMatch[]
  /** Null for a jump to a chain, and when there is none. */
  readonly target: GivenTarget | null
}

interface Group { readonly options: readonly OptionSpec[]; readonly given: Given | null }

/** A word that stands for itself in errors, not for the option before it. */
const alone = ({ text, at }: Word): Word => ({ text, at })

const isValue = (word: Word | undefined): word is Word => word !== undefined && !word.text.startsWith('-') && word.text !== '!'

class Scanner {
  readonly #words: readonly Word[]
  #at = 0
  #not: Word | null = null
  readonly #main: GivenOption[] = []
  readonly #matches: GivenMatch[] = []
  #target: GivenTarget | null = null
  /** Latest first; the command's own options last. */
  readonly #groups: Group[] = [{ options: MAIN_OPTIONS, given: null }]

  constructor(words: readonly Word[]) {
    this.#words = words
  }

  scan(): Scanned {
    for (let word = this.#words[this.#at]; word !== undefined; word = this.#words[this.#at]) {
      this.#at++
      if (word.text === '!') {
        if (this.#not !== null) throw syntaxError(word, 'two "!" in a row')
        this.#not = word
      } else if (word.text.startsWith('--') && word.text.length > 2) this.#long(word)
      else if (word.text.startsWith('-') && word.text.length > 1) this.#letters(word)
      else throw syntaxError(word, `"${word.text}" stands where an option is expected`, 'options begin with "-"')
    }
    if (this.#not !== null) throw syntaxError(this.#not, 'nothing follows "!"', '"!" stands before the option that it inverts')
    return { main: this.#main, matches: this.#matches, target: this.#target }
  }

  #long(word: Word): void {
    const [name, attached] = word.text.slice(2).split(/=(.*)/s)
    const { group, spec } = this.#find(word, name!)
    this.#take(group, spec, word, attached)
  }

  #find(word: Word, name: string): { group: Group; spec: OptionSpec } {
    const found = findOption(name, this.#groups) ?? this.#findInProtocol(name)
    if (found === undefined) {
      const bringing = ['tcp', 'udp', 'icmp'].filter((each) => matchNamed(each)!.options.some((spec) => namesOf(spec).includes(name)))
      if (bringing.length > 0) throw syntaxError(word, `unknown option "--${name}"`, `it needs -p ${bringing.join(' or -p ')} before it`)
      const protocol = this.#protocolMatch()
      const known = [...this.#groups, ...(protocol === undefined ? [] : [protocol])]
      throw unknownOption(word, name, known.flatMap(({ options }) => options.flatMap(namesOf)))
    }
    if (!('group' in found)) throw syntaxError(word, `"--${name}" is short for several options`, found.map((each) => `--${each}`).join(', '))
    return found
  }

  /** The match that the protocol brings, if it is not there yet. */
  #protocolMatch(): MatchExtension | undefined {
    const protocol = this.#protocol()
    const extension = protocol === undefined ? undefined : matchOfProtocol(parseProtocol(protocol))
    return this.#matches.some((match) => match.extension === extension) ? undefined : extension
  }

  #protocol(): Word | undefined {
    const option = this.#main.find(({ spec, not }) => spec.name === 'protocol' && !not)
    return option?.args[0]
  }

  /** Looks into the match that the protocol brings, and loads it if the option is there. */
  #findInProtocol(name: string): ReturnType<typeof findOption<Group>> {
    const extension = this.#protocolMatch()
    if (extension === undefined || findOption(name, [extension]) === undefined) return undefined
    this.#loadMatch(extension, this.#protocol()!)
    return findOption(name, this.#groups)
  }

  #letters(word: Word): void {
    for (let at = 1; at < word.text.length; at++) {
      const letter = word.text[at]!
      const spec = mainOptionOfLetter(letter)
      if (spec === undefined) throw syntaxError(word, `unknown option "-${letter}"`)
      const rest = word.text.slice(at + 1)
      if ((spec.args > 0 || spec.more > 0) && rest !== '') {
        this.#take(this.#groups.at(-1)!, spec, word, rest)
        return
      }
      this.#take(this.#groups.at(-1)!, spec, word, undefined)
    }
  }

  /** @param attached a value in the same word as the option */
  #take(group: Group, spec: OptionSpec, word: Word, attached: string | undefined): void {
    const args: Word[] = []
    const name = group.given === null ? word.text : `--${spec.name}`
    const more = (spec as Partial<MainOption>).more ?? 0
    let not = this.#not !== null
    if (attached !== undefined) {
      if (spec.args + more === 0) throw syntaxError(word, `"${name}" takes no value`)
      args.push({ text: attached, at: word.at, option: name })
    }
    if (!not && spec.not === true && spec.args > 0 && args.length === 0 && this.#words[this.#at]?.text === '!') {
      not = true
      this.#at++
    }
    while (args.length < spec.args) {
      const next = this.#words[this.#at]
      if (next === undefined) throw syntaxError(word, `"${name}" needs ${spec.args === 1 ? 'a value' : `${spec.args} values`}`)
      args.push({ ...next, option: name })
      this.#at++
    }
    while (args.length < spec.args + more && isValue(this.#words[this.#at])) args.push({ ...this.#words[this.#at++]!, option: name })
    if (not && spec.not !== true) throw syntaxError(this.#not ?? word, `"${name}" cannot be inverted`, 'leave out the "!"')
    this.#not = null
    this.#keep(group, { spec, word, not, args })
  }

  #keep(group: Group, option: GivenOption): void {
    if (group.given !== null) {
      group.given.add(option)
      return
    }
    this.#main.push(option)
    const [first] = option.args
    if (option.spec.name === 'match') this.#match(first!)
    if (option.spec.name === 'jump') this.#jump(first!)
  }

  #match(word: Word): void {
    const extension = matchNamed(word.text)
    if (extension !== undefined) {
      this.#loadMatch(extension, word)
      return
    }
    const reason = Object.hasOwn(REFUSED_MATCHES, word.text) ? REFUSED_MATCHES[word.text] : undefined
    if (reason !== undefined) throw refusedError(alone(word), `match "${word.text}" is not taken: ${reason}`)
    throw unknownWord(word, 'match', MATCH_NAMES)
  }

  #loadMatch(extension: MatchExtension, word: Word): void {
    const given = new Given(alone(word), extension.name)
    this.#matches.push({ given, extension, parse: () => extension.parse(given) })
    this.#groups.unshift({ options: extension.options, given })
  }

  #jump(word: Word): void {
    const extension = targetNamed(word.text)
    if (extension === undefined) {
      const reason = Object.hasOwn(REFUSED_TARGETS, word.text) ? REFUSED_TARGETS[word.text] : undefined
      if (reason !== undefined) throw refusedError(alone(word), `target "${word.text}" is not taken: ${reason}`)
      return
    }
    const given = new Given(alone(word), extension.name)
    this.#target = { given, extension, parse: () => extension.parse(given) }
    this.#groups.unshift({ options: extension.options, given })
  }
}

/** Reads the options of one command. Values are not looked at yet, but for the protocol when its match is needed. */
export const scan = (words: readonly Word[]): Scanned => new Scanner(words).scan()
