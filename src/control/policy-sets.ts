/** Which sets the data plane knows better, before a command of ipset. */
import type { PolicyRequest } from '../api/types.js'
import type { NamedSet } from '../policy/ipset/index.js'
import { LIST_KIND } from '../policy/sets/edits.js'
import type { Ruleset } from '../policy/model.js'
import type { PolicyState } from './policy-tools.js'

/** Names of the sets that rules write into. */
const writtenSets = ({ tables }: Ruleset): Set<string> => {
  const names = new Set<string>()
  for (const { chains } of Object.values(tables)) {
    for (const { rules } of chains) {
      for (const { spec: { target } } of rules) {
        if (target?.kind !== 'SET') continue
        for (const reference of [target.add, target.remove]) if (reference !== null) names.add(reference.name)
      }
    }
  }
  return names
}

/** Members of lists that rules write into are written themselves. */
const withMembers = (names: ReadonlySet<string>, sets: ReadonlyMap<string, NamedSet>): Set<string> => {
  const all = new Set(names)
  for (const name of names) {
    const set = sets.get(name)
    if (set?.kind === LIST_KIND) for (const member of set.members) all.add(member.name)
  }
  return all
}

/** Commands that show sets, as they may be written, and short. */
const SHOWS = /^(?:-{0,2}(?:l(?:i(?:st?)?)?|sa(?:ve?)?)|-L|-S)$/

/**
 * Sets whose elements must come from the data plane: those that rules write into, and, when they are shown, those that count. When the
 * command names some sets, only those and the members of lists among them.
 */
export const setsToTakeOver = ({ ruleset, sets: { sets } }: PolicyState, { argv, input }: PolicyRequest): NamedSet[] => {
  const written = withMembers(writtenSets(ruleset), sets)
  const shows = argv.some((word) => SHOWS.test(word)) || input !== null
  const named = new Set(argv.filter((word) => sets.has(word)))
  const isMeant = (set: NamedSet): boolean => named.size === 0 || named.has(set.name)
  return [...sets.values()].filter((set) => isMeant(set) && (written.has(set.name) || (shows && set.options.counters)))
}
