import { describe, expect, it } from 'vitest'
import { forwardedPorts, usableForwards } from '../../src/control/forward-plan.js'
import { parseForward } from '../../src/forward-text.js'

const forwards = (...texts: string[]): ReturnType<typeof usableForwards> => texts.map((text) => parseForward(text)!)
const NONE = { tcp: [], udp: [] }

describe('forwardedPorts', () => {
  it('are sets by protocol', () => {
    expect(forwardedPorts(forwards('tcp:80:10.0.0.1:80', 'tcp:81-90:10.0.0.1:81', 'udp:53:10.0.0.1:53', 'tcp:80:10.0.0.2:80@192.0.2.0/24')))
      .toEqual({ tcp: [{ first: 80, last: 90 }], udp: [{ first: 53, last: 53 }] })
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
    expect(usableForwards(all, { tcp: [{ first: 53, last: 53 }], udp: [] })).toEqual([all[1]])
    expect(usableForwards(all, { tcp: [{ first: 1, last: 65535 }], udp: [{ first: 1, last: 65535 }] })).toEqual([])
  })

  it('a range cut up leads to where it led', () => {
    const held = { tcp: [{ first: 1000, last: 1000 }, { first: 1003, last: 1004 }, { first: 1009, last: 2000 }], udp: [] }
    const left = usableForwards(forwards('tcp:1000-1010:10.0.0.1:5000@192.0.2.0/24'), held)
    expect(left).toEqual(forwards('tcp:1001-1002:10.0.0.1:5001@192.0.2.0/24', 'tcp:1005-1008:10.0.0.1:5005@192.0.2.0/24'))
  })
})
