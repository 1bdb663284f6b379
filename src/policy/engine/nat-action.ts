/** What a rule of table nat does with a flow, in one form for all targets. */
import type { DnatTarget, MasqueradeTarget, NetmapTarget, Range, RedirectTarget, SnatTarget } from '../model.js'

type NatTarget = SnatTarget | DnatTarget | MasqueradeTarget | RedirectTarget | NetmapTarget

export interface NatAction {
  /** SNAT and MASQUERADE change the source, DNAT and REDIRECT the destination, NETMAP what the hook changes. */
  readonly kind: NatTarget['kind']
  /** int32, both ends inclusive, compared as unsigned. Without addresses, that of the target stays, or is the interface's own. */
  readonly hasAddresses: boolean
  readonly firstAddress: number
  readonly lastAddress: number
  /** NETMAP: bits that come from `firstAddress`. */
  readonly mask: number
  /** Inclusive. */
  readonly hasPorts: boolean
  readonly firstPort: number
  readonly lastPort: number
  /** Port `basePort` goes to `firstPort`, the next one to the next; -1: any port may go to any. */
  readonly basePort: number
  readonly random: boolean
  readonly randomFully: boolean
  readonly persistent: boolean
}

const make = (kind: NatAction['kind'], addresses: Range | null, ports: Range | null, more: Partial<NatAction>): NatAction => ({
  kind,
  hasAddresses: addresses !== null,
  firstAddress: addresses === null ? 0 : addresses.first | 0,
  lastAddress: addresses === null ? 0 : addresses.last | 0,
  mask: -1,
  hasPorts: ports !== null,
  firstPort: ports?.first ?? 0,
  lastPort: ports?.last ?? 0,
  basePort: -1,
  random: false,
  randomFully: false,
  persistent: false,
  ...more,
})

export const natActionOf = (target: NatTarget): NatAction => {
  switch (target.kind) {
    case 'SNAT': {
      const { random, randomFully, persistent } = target
      return make('SNAT', target.addresses, target.ports, { random, randomFully, persistent })
    }
    case 'DNAT': {
      const { random, persistent, base } = target
      return make('DNAT', target.addresses, target.ports, { random, persistent, basePort: base ?? -1 })
    }
    case 'MASQUERADE': return make('MASQUERADE', null, target.ports, { random: target.random, randomFully: target.randomFully })
    case 'REDIRECT': return make('REDIRECT', null, target.ports, { random: target.random })
    case 'NETMAP': {
      const { address, mask } = target
      return make('NETMAP', { first: address, last: address | ~mask }, null, { mask })
    }
  }
}

/** What NETMAP makes of an address. */
export const netmapAddress = ({ firstAddress, mask }: NatAction, address: number): number => (firstAddress & mask) | (address & ~mask)
