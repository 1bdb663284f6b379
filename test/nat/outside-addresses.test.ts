import { describe, expect, it } from 'vitest'
import { OutsideAddresses } from '../../src/nat/outside-addresses.js'

describe('outside addresses', () => {
  it('fit the WAN that has them; those of the only WAN fit anyhow', () => {
    const addresses = new OutsideAddresses()
    expect(addresses.fits(1, 1)).toBe(true)
    addresses.replace([new Set([1])])
    expect([addresses.fits(1, 1), addresses.fits(2, 1)]).toEqual([true, true])
    addresses.replace([new Set([1, 3]), new Set([2, 3])])
    const fits = (address: number): boolean[] => [0, 1, 2].map((zone) => addresses.fits(address, zone))
    expect([fits(1), fits(2), fits(3), fits(4)]).toEqual([[true, true, false], [true, false, true], [true, true, true], [true, false, false]])
  })
})
