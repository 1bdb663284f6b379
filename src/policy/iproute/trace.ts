/** What a lookup has looked at, as lines of text. */
import type { RouteStep } from '../../route/lookup.js'
import { maskOf } from '../../stack/wire/address.js'
import { nameOf } from './names.js'
import { printRoute } from './route-print.js'
import { printRule } from './rule-print.js'
import type { IpState } from './state.js'

const reasons: Readonly<Record<Extract<RouteStep, { step: 'route' }>['why'], string>> = {
  'taken': 'taken',
  'tos': 'passed over: another TOS',
  'scope': 'passed over: too far away',
  'no live next hop': 'passed over: no next hop can be used',
  'throw': 'the next rule goes on',
  'suppressed': 'suppressed by the rule',
}

/** One line a step. @param destination the address that was looked up */
export const traceLines = (steps: readonly RouteStep[], destination: number, state: IpState): readonly string[] => {
  const printer = { names: state.names, devices: state.devices, details: false, left: { table: true } }
  return steps.map((step) => {
    if (step.step === 'rule') return `rule ${printRule(step.rule, state, false).text.replace('\t', ' ')}${step.applies ? '' : ': does not apply'}`
    const table = `  table ${nameOf(state.names, 'tables', step.table)}: `
    if (step.step === 'no route') return `${table}no route`
    const { text } = printRoute(step.table, destination & maskOf(step.length), step.length, step.route, printer)
    return `${table}${text.replaceAll(/\s+/g, ' ').trim()}: ${reasons[step.why]}`
  })
}
