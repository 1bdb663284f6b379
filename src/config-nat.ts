/** Rules between settings of the NAT, and between them and the rest of a completed configuration. */
import type { Config } from './config.js'
import { parsePool } from './nat/pool.js'
import { deterministicFault } from './nat/deterministic.js'
import type { NatSettings } from './nat/settings.js'

export interface Conflict {
  /** The key to blame. */
  path: string[]
  message: string
  hint: string
}

type Checked = Pick<Config, 'nat' | 'wans'>

const REUSED = 'a mapping that is used again has one port, so that each flow cannot have its own'
const isPerFlow = (mapping: NatSettings['udp']['mapping']): boolean => mapping === 'shared' || mapping === 'address-and-port-dependent'

/** Fully random: each flow has a port of its own, which takes a mapping for each. */
const fullyRandom = (nat: NatSettings): Conflict | undefined => {
  const hint = `${REUSED}: set mapping to "shared" or "address-and-port-dependent", or selection to "random"`
  const reused = (['tcp', 'udp', 'icmp'] as const).find((protocol) => !isPerFlow(nat[protocol].mapping))
  if (nat.ports.selection === 'fully-random' && reused !== undefined) {
    const message = `nat.ports.selection is "fully-random", but nat.${reused}.mapping is "${nat[reused].mapping}"`
    return { path: ['nat', 'ports', 'selection'], message, hint }
  }
  for (const [index, { selection, mapping, protocol }] of nat.rules.entries()) {
    if (selection !== 'fully-random') continue
    const mappings = protocol === undefined ? [nat.tcp.mapping, nat.udp.mapping, nat.icmp.mapping] : [nat[protocol].mapping]
    const other = mapping === undefined ? mappings.find((one) => !isPerFlow(one)) : isPerFlow(mapping) ? undefined : mapping
    if (other === undefined) continue
    return { path: ['nat', 'rules', String(index), 'selection'], message: `a rule's selection is "fully-random", but its mapping is "${other}"`, hint }
  }
  return undefined
}

const deterministic = ({ nat, wans }: Checked): Conflict | undefined => {
  const settings = nat.deterministic
  if (settings === null) return undefined
  const path = ['nat', 'deterministic']
  const [first] = wans
  if (wans.length > 1) {
    return { path, message: `deterministic NAT has one WAN, but there are ${wans.length}`, hint: 'leave out nat.deterministic, or run an instance for each WAN' }
  }
  if (first === undefined || first.address === 'shared') {
    const hint = 'give tsnat addresses of its own: wanAddress: {owned: [198.51.100.7/24]}, and perhaps nat.pool'
    return { path, message: 'deterministic NAT needs all ports of its addresses, but they are shared with the host', hint }
  }
  const fault = deterministicFault(settings, nat.pool === null ? first.address.owned.length : parsePool(nat.pool)!.length)
  return fault === null ? undefined : { path, message: `nat.deterministic: ${fault}`, hint: 'more outside addresses, fewer hosts, or other values of reserved, dynamic and perHost' }
}

/** What contradicts itself in a configuration that is complete; undefined when nothing does. */
export const natConflict = (config: Checked): Conflict | undefined => fullyRandom(config.nat) ?? deterministic(config)
