import { describe, expect, it } from 'vitest'
import { forwardedPorts, planPortless, usableForwards } from '../../src/control/forward-plan.js'
import { parseForward } from '../../src/forward-text.js'
import { PROFILES } from '../../src/nat/profiles.js'

const forwards = (...texts: string[]): ReturnType<typeof usableForwards> => texts.map((text) => parseForward(text)!)
const NONE = { tcp: [], udp: [], udplite: [], sctp: [] }

describe('forwardedPorts', () => {
  it('are sets by protocol', () => {
    expect(forwardedPorts(forwards('tcp:80:10.0.0.1:80', 'tcp:81-90:10.0.0.1:81', 'udp:53:10.0.0.1:53', 'tcp:80:10.0.0.2:80@192.0.2.0/24')))
      .toEqual({ ...NONE, tcp: [{ first: 80, last: 90 }], udp: [{ first: 53, last: 53 }] })
    expect(forwardedPorts([])).toEqual(NONE)
  })
})

describe('usableForwards', () => {
  it('are all of them when nothing is held', () => {
    const all = forwards('tcp:8080-8090:10.0.0.1:80@192.0.2.0/24', 'udp:53:10.0.0.1:53')
    expect(usableForwards(all, NONE)).toEqual(all)
  })

  it('leave out what is held in the same protocol', () => {
    const all = forwards('tcp:53:10.0.0.1:53', 'udp:53:10.0.0.1:53')
    expect(usableForwards(all, { ...NONE, tcp: [{ first: 53, last: 53 }] })).toEqual([all[1]])
    expect(usableForwards(all, { ...NONE, tcp: [{ first: 1, last: 65535 }], udp: [{ first: 1, last: 65535 }] })).toEqual([])
  })

  it('a range cut up leads to where it led', () => {
    const held = { ...NONE, tcp: [{ first: 1000, last: 1000 }, { first: 1003, last: 1004 }, { first: 1009, last: 2000 }] }
    const left = usableForwards(forwards('tcp:1000-1010:10.0.0.1:5000@192.0.2.0/24'), held)
    expect(left).toEqual(forwards('tcp:1001-1002:10.0.0.1:5001@192.0.2.0/24', 'tcp:1005-1008:10.0.0.1:5005@192.0.2.0/24'))
  })
})

describe('forwards without ports', () => {
  it('are not taken by sockets', () => {
    const all = forwards('icmp:10.0.0.1', 'gre:10.0.0.1', '41:10.0.0.1', 'sctp:9:10.0.0.1:9', 'udplite:9:10.0.0.1:9')
    const every = [{ first: 1, last: 65535 }]
    expect(usableForwards(all, { tcp: every, udp: every, udplite: [], sctp: [{ first: 9, last: 9 }] })).toEqual([all[0], all[1], all[2], all[4]])
    expect(forwardedPorts(all)).toEqual({ ...NONE, udplite: [{ first: 9, last: 9 }], sctp: [{ first: 9, last: 9 }] })
  })

  it('say what is to be heard: GRE and ESP always, others where they are forwarded, all where all are translated', () => {
    const plan = (texts: string[], otherProtocols: 'refuse' | 'by-address' = 'refuse'): unknown[] => {
      const { forwards: list, pings, protocols } = planPortless({ forwards: texts, nat: { ...PROFILES.behave.nat, otherProtocols } })
      return [list.map(({ protocol }) => protocol), pings, protocols]
    }
    expect(plan([])).toEqual([[], false, [47, 50]])
    expect(plan(['tcp:1:10.0.0.1:1', 'icmp:10.0.0.1', 'esp:10.0.0.1', '41:10.0.0.1@192.0.2.0/24'])).toEqual([[1, 50, 41], true, [47, 50, 41]])
    expect(plan([], 'by-address')).toEqual([[], false, null])
  })
})
