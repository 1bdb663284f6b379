/** Puts what the packet has into a set of ipset, or takes it out. */
import type { SetTarget } from '../../model.js'
import { refusedError, syntaxError } from '../error.js'
import { join, type TargetExtension } from '../extension.js'
import { flag, pair, value } from '../options.js'
import { parseSetReference, setReferenceText } from '../set-reference.js'
import { parseNumber } from '../values.js'

const words = ({ add, remove, exist, timeout }: SetTarget, dashes: '--' | ''): string => join(
  add !== null && `${dashes}add-set ${setReferenceText(add)}`,
  exist && `${dashes}exist`,
  timeout !== null && `${dashes}timeout ${timeout}`,
  remove !== null && `${dashes}del-set ${setReferenceText(remove)}`,
)

export const set: TargetExtension<SetTarget> = {
  name: 'SET',
  options: [pair('add-set'), pair('del-set'), pair('map-set'), flag('exist'), value('timeout')],
  parse: (given) => {
    const map = given.get('map-set')
    if (map !== null) throw refusedError(map.word, 'SET: "--map-set" is not taken: sets in tsnat have no skbinfo')
    const [add, remove] = [given.get('add-set'), given.get('del-set')]
    if (add === null && remove === null) throw syntaxError(given.word, 'SET needs "--add-set" or "--del-set"')
    const alone = given.get('exist') ?? given.get('timeout')
    if (add === null && alone !== null) throw syntaxError(alone.word, `"--${alone.spec.name}" goes with "--add-set"`)
    return {
      kind: 'SET',
      add: add === null ? null : parseSetReference(add),
      remove: remove === null ? null : parseSetReference(remove),
      exist: given.has('exist'),
      timeout: given.read('timeout', (word) => parseNumber(word, 0, 4294966)),
    }
  },
  save: (target) => words(target, '--'),
  list: (target) => words(target, ''),
}
