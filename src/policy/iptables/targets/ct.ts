/** Flows that are not to be tracked: NOTRACK, and CT --notrack. What else CT can do is refused. */
import type { CtTarget, NotrackTarget } from '../../model.js'
import { refusedError } from '../error.js'
import { onlyIn, type TargetExtension } from '../extension.js'
import { flag, value } from '../options.js'

const REFUSED: Readonly<Record<string, string>> = {
  zone: 'tsnat has one table of flows, without zones',
  'zone-orig': 'tsnat has one table of flows, without zones',
  'zone-reply': 'tsnat has one table of flows, without zones',
  helper: 'tsnat chooses helpers by its configuration',
  timeout: 'tsnat takes timeouts from its configuration',
  ctevents: 'tsnat tells all events of flows',
  expevents: 'tsnat tells all events of flows',
}

export const notrack: TargetExtension<NotrackTarget> = {
  name: 'NOTRACK', options: [], parse: () => ({ kind: 'NOTRACK' }), save: () => '', list: () => 'NOTRACK',
  check: (_, where) => onlyIn('NOTRACK', where, 'raw'),
}

export const ct: TargetExtension<CtTarget> = {
  name: 'CT',
  options: [flag('notrack'), ...Object.keys(REFUSED).map((name) => value(name))],
  parse: (given) => {
    for (const [name, reason] of Object.entries(REFUSED)) {
      const option = given.get(name)
      if (option !== null) throw refusedError(option.word, `CT: "--${name}" is not taken: ${reason}`)
    }
    return { kind: 'CT', notrack: given.has('notrack') }
  },
  save: (target) => (target.notrack ? '--notrack' : ''),
  list: (target) => (target.notrack ? 'CT notrack' : 'CT'),
  check: (_, where) => onlyIn('CT', where, 'raw'),
}
