import { describe, expect, it } from 'vitest'
import {
  ADDRESS_AND_PORT_DEPENDENT, ADDRESS_DEPENDENT, behaviourColumn, DEPENDENCES, ENDPOINT_INDEPENDENT, MAPPINGS, NETFILTER, SHARED,
} from '../../src/nat/behaviour.js'

describe('behaviours', () => {
  it('have the words of RFC 4787, by number', () => {
    expect(DEPENDENCES[ENDPOINT_INDEPENDENT]).toBe('endpoint-independent')
    expect(DEPENDENCES[ADDRESS_DEPENDENT]).toBe('address-dependent')
    expect(DEPENDENCES[ADDRESS_AND_PORT_DEPENDENT]).toBe('address-and-port-dependent')
    expect(MAPPINGS).toEqual([...DEPENDENCES, 'shared'])
  })

  it('UPD-6: are kept by protocol', () => {
    const column = behaviourColumn({
      tcp: { mapping: 'endpoint-independent', filtering: 'address-dependent' },
      udp: { mapping: 'address-and-port-dependent', filtering: 'endpoint-independent' },
      icmp: NETFILTER,
    })
    expect([column[6], column[17], column[1]]).toEqual([0 | (1 << 2), 2 | (0 << 2), SHARED])
    // Others are refused before; but if they were not, they would share.
    expect(column[47]).toBe(SHARED)
    expect(column).toHaveLength(256)
  })

  it('are distinct as numbers', () => {
    const packed = DEPENDENCES.flatMap((mapping) => DEPENDENCES.map((filtering) => behaviourColumn({ tcp: { mapping, filtering }, udp: NETFILTER, icmp: NETFILTER })[6]))
    expect(new Set([...packed, SHARED]).size).toBe(10)
  })
})
