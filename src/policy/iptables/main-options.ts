/** The options of the command itself: what to do, to which table, and the tests that every rule may have. */
import type { OptionSpec } from './options.js'

export type Verb =
  | 'append' | 'insert' | 'replace' | 'delete' | 'check' | 'list' | 'list-rules' | 'flush' | 'zero' | 'new-chain' | 'delete-chain'
  | 'rename-chain' | 'policy' | 'help' | 'version'

export interface MainOption extends OptionSpec {
  readonly letter?: string
  /** Further words that may follow, if they do not begin with "-" or "!". */
  readonly more: number
  readonly verb?: Verb
}

const verb = (letter: string, name: Verb, args: 0 | 1 | 2, more: number, ...aliases: string[]): MainOption =>
  ({ letter, name, args, more, aliases, verb: name })
const option = (letter: string, name: string, args: 0 | 1 | 2, ...aliases: string[]): MainOption => ({ letter, name, args, more: 0, aliases })
const not = (spec: MainOption): MainOption => ({ ...spec, not: true })

export const MAIN_OPTIONS: readonly MainOption[] = [
  verb('A', 'append', 1, 0), verb('I', 'insert', 1, 1), verb('R', 'replace', 2, 0), verb('D', 'delete', 1, 1), verb('C', 'check', 1, 0),
  verb('L', 'list', 0, 2), verb('S', 'list-rules', 0, 2), verb('F', 'flush', 0, 1), verb('Z', 'zero', 0, 2),
  verb('N', 'new-chain', 1, 0, 'new'), verb('X', 'delete-chain', 0, 1), verb('E', 'rename-chain', 2, 0), verb('P', 'policy', 2, 0),
  verb('h', 'help', 0, 0), verb('V', 'version', 0, 0),
  option('t', 'table', 1),
  not(option('p', 'protocol', 1, 'proto')), not(option('s', 'source', 1, 'src')), not(option('d', 'destination', 1, 'dst')),
  not(option('i', 'in-interface', 1)), not(option('o', 'out-interface', 1)), not(option('f', 'fragments', 0)),
  option('m', 'match', 1), option('j', 'jump', 1), option('g', 'goto', 1), option('c', 'set-counters', 2),
  option('n', 'numeric', 0), option('v', 'verbose', 0), option('x', 'exact', 0), { name: 'line-numbers', args: 0, more: 0 },
  { ...option('w', 'wait', 0), more: 1 }, { ...option('W', 'wait-interval', 0), more: 1 }, option('M', 'modprobe', 1),
  option('4', 'ipv4', 0), option('6', 'ipv6', 0),
]

export const mainOptionOfLetter = (letter: string): MainOption | undefined => MAIN_OPTIONS.find((each) => each.letter === letter)
