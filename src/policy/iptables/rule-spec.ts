/** From the options of a command to what its rules say. */
import type { AddressTest, InterfaceTest, Match, ProtocolTest, RuleSpec, TableName, Target } from '../model.js'
import { complaintAbout, hooksOfChain } from './check.js'
import { isBuiltIn } from './draft.js'
import { invalidError, syntaxError, unknownWord } from './error.js'
import type { GivenOption } from './options.js'
import type { Scanned } from './scan.js'
import { TARGET_NAMES } from './targets/index.js'
import { parseName, parseNetwork, parseProtocol } from './values.js'
import type { Word } from './words.js'

const INTERFACE_MAX = 15

/** Options that make a rule; a command without a rule takes none of them. */
export const RULE_OPTIONS: readonly string[] = [
  'protocol', 'source', 'destination', 'in-interface', 'out-interface', 'fragments', 'match', 'jump', 'goto', 'set-counters',
]

const find = ({ main }: Scanned, name: string): GivenOption | undefined => main.find(({ spec }) => spec.name === name)

/** A list with commas makes a rule for each address; "any address" makes no test. */
const addresses = (option: GivenOption | undefined): (AddressTest | null)[] => {
  if (option === undefined) return [null]
  const word = option.args[0]!
  const parts = word.text.split(',')
  if (parts.length > 1 && option.not) throw syntaxError(word, '"!" does not go with a list of addresses', 'a rule for each address, or a set')
  return parts.map((text) => {
    const { address, mask } = parseNetwork(word, text)
    return mask === 0 && !option.not ? null : { address, mask, not: option.not }
  })
}

const interfaceTest = (option: GivenOption | undefined): InterfaceTest | null => {
  if (option === undefined) return null
  const word = option.args[0]!
  if (word.text === '+') {
    if (option.not) throw syntaxError(word, '"! +" is no interface at all')
    return null
  }
  const text = parseName(word, 'the name of the interface', INTERFACE_MAX)
  const wildcard = text.endsWith('+')
  return { name: wildcard ? text.slice(0, -1) : text, wildcard, not: option.not }
}

const protocolTest = (option: GivenOption | undefined): ProtocolTest | null => {
  if (option === undefined) return null
  const number = parseProtocol(option.args[0]!)
  if (number !== 0) return { number, not: option.not }
  if (option.not) throw syntaxError(option.word, '"! -p all" is no protocol at all')
  return null
}

export interface RuleContext {
  readonly table: TableName
  /** The chain that the rule is for. */
  readonly chain: string
  /** All chains of the table. */
  readonly chains: ReadonlyMap<string, unknown>
}

const jumpTarget = (scanned: Scanned, { table, chains }: RuleContext): { target: Target | null; word: Word | null } => {
  const jump = find(scanned, 'jump')
  const going = find(scanned, 'goto')
  if (jump === undefined && going === undefined) return { target: null, word: null }
  if (scanned.target !== null) {
    const { given, parse } = scanned.target
    return { target: parse(), word: given.word }
  }
  const word = (jump ?? going)!.args[0]!
  const chain = word.text
  if (isBuiltIn(table, chain)) throw invalidError(word, `rules cannot jump to ${chain}`, 'only to chains made with -N')
  if (!chains.has(chain)) {
    throw going === undefined ? unknownWord(word, 'target or chain', [...TARGET_NAMES, ...chains.keys()]) : unknownWord(word, 'chain', [...chains.keys()])
  }
  return { target: { kind: jump === undefined ? 'goto' : 'jump', chain }, word }
}

const checkInterface = (option: GivenOption | undefined, chain: string, without: readonly string[]): void => {
  if (option !== undefined && without.includes(chain)) {
    throw invalidError(option.word, `packets in ${chain} have no ${option.spec.name === 'in-interface' ? 'incoming' : 'outgoing'} interface, so "${option.word.text}" never holds`)
  }
}

/** The rules that a command names: several when its addresses are lists. */
export const parseRuleSpecs = (scanned: Scanned, context: RuleContext): RuleSpec[] => {
  const { table, chain } = context
  checkInterface(find(scanned, 'in-interface'), chain, ['OUTPUT', 'POSTROUTING'])
  checkInterface(find(scanned, 'out-interface'), chain, ['PREROUTING', 'INPUT'])
  const fragments = find(scanned, 'fragments')
  const matches: Match[] = scanned.matches.map(({ parse }) => parse())
  const { target, word } = jumpTarget(scanned, context)
  const rest = {
    inInterface: interfaceTest(find(scanned, 'in-interface')),
    outInterface: interfaceTest(find(scanned, 'out-interface')),
    protocol: protocolTest(find(scanned, 'protocol')),
    fragment: fragments === undefined ? null : { not: fragments.not },
    matches,
    target,
  }
  const [sources, destinations] = [addresses(find(scanned, 'source')), addresses(find(scanned, 'destination'))]
  const specs = sources.flatMap((source) => destinations.map((destination): RuleSpec => ({ source, destination, ...rest })))
  const complaint = complaintAbout({ table, hooks: hooksOfChain(chain), spec: specs[0]! })
  if (complaint !== null) throw invalidError(complaint.match === null ? word : scanned.matches[complaint.match]!.given.word, complaint.message)
  return specs
}
