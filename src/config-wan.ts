/** The WANs of a configuration, completed, and the rules between them and the other keys. */
import type { Conflict } from './config-nat.js'
import type { CheckedConfig } from './config-schema.js'
import type { HealthCheck } from './control/health/types.js'
import { parsePrefix } from './stack/wire/address.js'

/** One WAN. */
export interface UplinkConfig {
  readonly interface: string
  /** The kernel's own addresses, or addresses with prefix length that tsnat alone has. */
  readonly address: 'shared' | { readonly owned: readonly string[] }
  /** Next hop of what leaves by it; null: that of the kernel's default route by it. */
  readonly gateway: string | null
  /** Its share of new flows, 1-256; null: none by weight. */
  readonly weight: number | null
  /** Lower is preferred; null: that of the kernel's route, and the order of the WANs. */
  readonly metric: number | null
  /** null: only its interface tells whether it works. */
  readonly check: HealthCheck | null
}

const given = ({ wan }: Pick<CheckedConfig, 'wan'>) => (Array.isArray(wan) ? wan : [wan]).map((one) => (typeof one === 'string' ? { interface: one } : one))

const checkOf = (check: ReturnType<typeof given>[number]['check']): HealthCheck | null => {
  if (check === undefined || check.type === 'none') return null
  const { type, target, expect, ...numbers } = check
  return { type, ...numbers, ...(target === undefined ? {} : { target }), ...(expect === undefined ? {} : { expect }) }
}

/** The WANs in their order. What `wanAddress` says is for the first. */
export const uplinksOf = (config: Pick<CheckedConfig, 'wan' | 'wanAddress'>): readonly UplinkConfig[] =>
  given(config).map((one, index) => {
    const address = one.address ?? (index === 0 ? config.wanAddress : undefined) ?? 'shared'
    return {
      interface: one.interface,
      address: address === 'shared' ? address : { owned: address.owned },
      gateway: one.gateway ?? (address === 'shared' ? undefined : address.gateway) ?? null,
      weight: one.weight ?? null,
      metric: one.metric ?? null,
      check: checkOf(one.check),
    }
  })

const TARGETS: Readonly<Record<Exclude<HealthCheck['type'], 'none'>, { pattern: RegExp; isNeeded: boolean; text: string }>> = {
  icmp: { pattern: /^\d{1,3}(\.\d{1,3}){3}$/, isNeeded: false, text: 'an IPv4 address, or nothing for the gateway' },
  arp: { pattern: /^\d{1,3}(\.\d{1,3}){3}$/, isNeeded: false, text: 'an IPv4 address, or nothing for the gateway' },
  tcp: { pattern: /^\d{1,3}(\.\d{1,3}){3}:\d{1,5}$/, isNeeded: true, text: 'an address and a port, such as 192.0.2.1:443' },
  http: { pattern: /^http:\/\/\d{1,3}(\.\d{1,3}){3}(:\d{1,5})?(\/|$)/, isNeeded: true, text: 'a URL whose host is an IPv4 address, such as http://192.0.2.1/' },
}

const checkConflict = ({ address, check, interface: name }: UplinkConfig, path: string[]): Conflict | undefined => {
  if (check === null || check.type === 'none') return undefined
  const { type, target, expect } = check
  const { pattern, isNeeded, text } = TARGETS[type]
  if (target === undefined ? isNeeded : !pattern.test(target)) {
    const message = target === undefined ? `the ${type} check of ${name} has no target` : `"${target}" is no target of the ${type} check of ${name}`
    return { path: [...path, 'check'], message, hint: `write ${text}` }
  }
  if (expect !== undefined && type !== 'http') {
    return { path: [...path, 'check'], message: `the ${type} check of ${name} expects a status`, hint: 'only http has one: leave out expect' }
  }
  if (address === 'shared' || (type !== 'tcp' && type !== 'http')) return undefined
  const hint = 'tcp and http use the kernel\'s own address on the WAN, which has none: check by icmp or arp'
  return { path: [...path, 'check'], message: `${name} has owned addresses only, so it cannot be checked by ${type}`, hint }
}

/** Two WANs that want the same. */
const shared = (wans: readonly UplinkConfig[]): Conflict | undefined => {
  const names = new Set<string>()
  const owners = new Map<number, string>()
  for (const [index, { interface: name, address }] of wans.entries()) {
    const path = ['wan', String(index)]
    if (names.has(name)) return { path, message: `interface "${name}" is a WAN twice`, hint: 'name each WAN once' }
    names.add(name)
    for (const text of address === 'shared' ? [] : address.owned) {
      const own = parsePrefix(text)!.address
      const other = owners.get(own)
      if (other !== undefined) return { path, message: `${text} is owned on ${other} and on ${name}`, hint: 'an address is on one WAN: name it once' }
      owners.set(own, name)
    }
  }
  return undefined
}

/** What contradicts itself; undefined when nothing does. */
export const wanConflict = (config: CheckedConfig, wans: readonly UplinkConfig[]): Conflict | undefined => {
  const { lan, wanDriver, wanAddress, capture } = config
  if (wans.some(({ interface: name }) => name === lan)) {
    const hint = 'wan is an interface that exists, lan the TUN to create: give them different names'
    return { path: ['lan'], message: `lan and wan are both "${lan}"`, hint }
  }
  const clash = shared(wans)
  if (clash !== undefined) return clash
  for (const [index, one] of given(config).entries()) {
    const path = Array.isArray(config.wan) ? ['wan', String(index)] : ['wan']
    const wan = wans[index]!
    if (index === 0 && one.address !== undefined && wanAddress !== undefined) {
      return { path: ['wanAddress'], message: `wanAddress and wan.0.address both say the address of ${one.interface}`, hint: 'leave out one of them' }
    }
    const { address } = one
    if (one.gateway !== undefined && typeof address === 'object' && address.gateway !== undefined) {
      return { path: [...path, 'gateway'], message: `two gateways are given for ${one.interface}`, hint: 'leave out gateway here, or in address' }
    }
    const check = checkConflict(wan, path)
    if (check !== undefined) return check
    if (wanDriver === 'raw' && wan.address !== 'shared') {
      const hint = 'raw sockets cannot answer ARP: use wanDriver "packet", or wanAddress "shared"'
      return { path: ['wanDriver'], message: 'wanDriver "raw" cannot have an owned address', hint }
    }
    if (wanDriver === 'raw' && wan.gateway !== null) {
      const hint = 'with raw sockets the kernel finds the next hop: use wanDriver "packet", or leave out the gateway'
      return { path: ['wanDriver'], message: `wanDriver "raw" cannot have a gateway (${wan.gateway})`, hint }
    }
  }
  if (typeof capture !== 'object') return undefined
  const own = capture.iif.find((name) => name === lan || wans.some((wan) => wan.interface === name))
  if (own === undefined) return undefined
  const message = `capture.iif names "${own}", the ${own === lan ? 'TUN' : 'WAN'} itself`
  return { path: ['capture'], message, hint: 'name the interfaces that the inside hosts are on' }
}
