import { describe, expect, it } from 'vitest'
import { ConnectionCounts } from '../../../src/policy/engine/connection-counts.js'
import { ACCEPT, DROP } from '../../../src/policy/engine/index.js'
import { isInTime } from '../../../src/policy/engine/time-test.js'
import type { PacketMeta } from '../../../src/policy/engine/packet-meta.js'
import { type TimeMatch } from '../../../src/policy/model.js'
import { Bed, ip, packetOf, rulesetOf } from './support.js'

const matching = (match: string): Bed => new Bed(`-A FORWARD ${match} -j DROP`)
/** One letter a packet: whether the rule matched. */
const run = (bed: Bed, count: number, change: Partial<PacketMeta> = {}): string =>
  Array.from({ length: count }, () => (bed.verdict(packetOf(change)) === DROP ? 'y' : '-')).join('')
const wait = (bed: Bed, milliseconds: number): void => {
  bed.environment.clock.now += milliseconds
}

describe('limit', () => {
  it('takes its burst, then its rate, and fills up again to its burst', () => {
    const bed = matching('-m limit --limit 10/s --limit-burst 3')
    expect(run(bed, 5)).toBe('yyy--')
    wait(bed, 99)
    expect(run(bed, 1)).toBe('-')
    wait(bed, 1)
    expect(run(bed, 2)).toBe('y-')
    wait(bed, 60_000)
    expect(run(bed, 5)).toBe('yyy--')
  })

  it('loses nothing to packets that it does not see', () => {
    const bed = matching('-p udp -m limit --limit 1/h --limit-burst 1')
    expect(run(bed, 3)).toBe('---')
    expect(run(bed, 2, { protocol: 17 })).toBe('y-')
  })

  it('sees packets that a test behind it refuses', () => {
    const bed = matching('-p tcp -m limit --limit 1/h --limit-burst 2 -m tcp --dport 80')
    expect(run(bed, 1, { destinationPort: 81 }) + run(bed, 2)).toBe('-y-')
  })

  it('is asked, not taken from, in a dry run', () => {
    const bed = matching('-m limit --limit 1/h --limit-burst 1')
    bed.evaluator.outcome.isDry = true
    expect(run(bed, 3)).toBe('yyy')
    expect(bed.counters('filter FORWARD 1')).toEqual([0, 0])
    bed.evaluator.outcome.isDry = false
    expect(run(bed, 2)).toBe('y-')
  })
})

describe('hashlimit', () => {
  it('has a bucket for each address, cut to its prefix', () => {
    const bed = matching('-m hashlimit --hashlimit-upto 1/s --hashlimit-burst 2 --hashlimit-mode srcip --hashlimit-srcmask 24 --hashlimit-name a')
    expect(run(bed, 3)).toBe('yy-')
    expect(run(bed, 1, { source: ip('10.0.0.200') })).toBe('-')
    expect(run(bed, 3, { source: ip('10.0.1.2') })).toBe('yy-')
    wait(bed, 1000)
    expect(run(bed, 2)).toBe('yy')
  })

  it('has a bucket for each port; later fragments have none, and are dropped', () => {
    const bed = new Bed('-A FORWARD -m hashlimit --hashlimit-above 1/h --hashlimit-burst 1 --hashlimit-mode dstport --hashlimit-name a -j ACCEPT')
    run(bed, 2)
    expect(bed.counters('filter FORWARD 1')).toEqual([1, 60])
    run(bed, 1, { destinationPort: 81 })
    expect(bed.counters('filter FORWARD 1')).toEqual([1, 60])
    expect(bed.verdict(packetOf({ fragment: 2 }))).toBe(DROP)
    expect(bed.verdict(packetOf({ fragment: 2, protocol: 1 }))).toBe(ACCEPT)
  })

  it('above the rate takes what is over it', () => {
    expect(run(matching('-m hashlimit --hashlimit-above 2/s --hashlimit-burst 2 --hashlimit-name a'), 4)).toBe('--yy')
  })

  it('of bytes lets a second\'s worth pass at once, more after a burst', () => {
    const packet = { length: 1000 }
    const plain = matching('-m hashlimit --hashlimit-upto 4kb/s --hashlimit-name a')
    expect(run(plain, 6, packet)).toBe('yyyy--')
    wait(plain, 250)
    expect(run(plain, 2, packet)).toBe('y-')
    const burst = matching('-m hashlimit --hashlimit-upto 4kb/s --hashlimit-burst 8kb --hashlimit-name a')
    expect(run(burst, 14, packet)).toBe('yyyyyyyyyyyy--')
  })

  it('by rate-match takes no more in an interval than its burst and its rate, and nothing after an interval over the rate', () => {
    const bed = matching('-m hashlimit --hashlimit-upto 2/s --hashlimit-burst 1 --hashlimit-name a --hashlimit-rate-match --hashlimit-rate-interval 1')
    expect(run(bed, 5)).toBe('yyy--')
    wait(bed, 1000)
    expect(run(bed, 1)).toBe('-')
    wait(bed, 1000)
    expect(run(bed, 1)).toBe('y')
  })

  it('forgets a bucket that nobody asks for', () => {
    const bed = matching('-m hashlimit --hashlimit-upto 1/h --hashlimit-burst 1 --hashlimit-name a --hashlimit-htable-expire 5000')
    expect(run(bed, 2)).toBe('y-')
    wait(bed, 4999)
    expect(run(bed, 1)).toBe('-')
    wait(bed, 5000)
    expect(run(bed, 2)).toBe('y-')
  })

  it('keeps a bucket for as long as the unit of its rate', () => {
    const bed = matching('-m hashlimit --hashlimit-upto 100/min --hashlimit-burst 5 --hashlimit-name a')
    expect(run(bed, 6)).toBe('yyyyy-')
    wait(bed, 1300)
    expect(run(bed, 5)).toBe('yy---')
  })

  it('drops what finds no room in its table, until a bucket can be forgotten', () => {
    const bed = new Bed('-A FORWARD -m hashlimit --hashlimit-above 1/s --hashlimit-mode srcip --hashlimit-name a --hashlimit-htable-size 100 --hashlimit-htable-max 100')
    const from = (source: number): number => bed.verdict(packetOf({ source }))
    for (let source = 1; source <= 100; source++) expect(from(source)).toBe(ACCEPT)
    expect(from(101)).toBe(DROP)
    wait(bed, 1000)
    expect(from(101)).toBe(ACCEPT)
  })

  it('shares its table with rules that give the same name', () => {
    const words = '-m hashlimit --hashlimit-upto 1/h --hashlimit-burst 2 --hashlimit-name same'
    const bed = new Bed(`-A FORWARD -p tcp ${words} -j DROP\n-A FORWARD -p udp ${words} -j DROP`)
    expect(run(bed, 1) + run(bed, 2, { protocol: 17 })).toBe('yy-')
  })
})

describe('connlimit', () => {
  const open = (bed: Bed, port: number): void => {
    bed.environment.connected.add([ip('10.0.0.2'), ip('198.51.100.1'), (port << 16) | 80, 6].join())
  }
  const flow = (port: number) => ({ sourcePort: port, originalSourcePort: port })

  it('counts flows that it has seen and that are still there', () => {
    const bed = matching('-p tcp --syn -m connlimit --connlimit-above 2')
    for (const port of [1, 2]) {
      expect(run(bed, 1, flow(port))).toBe('-')
      open(bed, port)
    }
    expect(run(bed, 2, flow(3))).toBe('yy')
    expect(run(bed, 1, flow(2))).toBe('-')
    bed.environment.connected.clear()
    expect(run(bed, 1, flow(3))).toBe('-')
  })

  it('counts by prefix, and by destination', () => {
    const bed = matching('-m connlimit --connlimit-above 1 --connlimit-mask 24 --connlimit-daddr')
    open(bed, 1)
    expect(run(bed, 1, flow(1))).toBe('-')
    expect(run(bed, 1, { ...flow(2), destination: ip('198.51.100.200'), originalDestination: ip('198.51.100.200') })).toBe('y')
    expect(run(bed, 1, { ...flow(2), destination: ip('198.51.101.1') })).toBe('-')
  })

  it('up to its limit matches as long as it is kept', () => {
    const bed = matching('-m connlimit --connlimit-upto 1')
    expect(run(bed, 1, flow(1))).toBe('y')
    open(bed, 1)
    expect(run(bed, 1, flow(2))).toBe('-')
  })

  it('keeps no flows of addresses that nobody asks for again', () => {
    const bed = matching('-m connlimit --connlimit-above 1')
    for (let source = 1; source <= 5000; source++) bed.verdict(packetOf({ source, originalSource: source }))
    const counts = [...bed.compiled.states.values()].filter((state) => state instanceof ConnectionCounts)
    expect(counts).toHaveLength(1)
    expect(counts[0]!.size).toBeLessThan(10)
  })
})

describe('statistic', () => {
  it('takes every nth packet, from the one it is told', () => {
    expect(run(matching('-m statistic --mode nth --every 3 --packet 1'), 8)).toBe('-y--y--y')
    expect(run(matching('-m statistic --mode nth ! --every 3 --packet 0'), 6)).toBe('-yy-yy')
  })

  it('takes packets at random', () => {
    const bed = matching('-m statistic --mode random --probability 0.25')
    bed.environment.willDraw(0, 0x1fffffff, 0x20000000, 0x7fffffff, 0x80000000, 0xffffffff)
    expect(run(bed, 6)).toBe('yy--y-')
  })
})

describe('time', () => {
  const at = (text: string): number => Date.parse(text) / 1000
  const match = (words: string): TimeMatch => rulesetOf(`-A FORWARD -m time ${words}`).tables.filter.chains[1]!.rules[0]!.spec.matches[0] as TimeMatch

  it('holds between hours, also over midnight', () => {
    const day = match('--timestart 08:00 --timestop 17:30')
    expect(['07:59:59', '08:00:00', '17:30:00', '17:30:01'].map((time) => isInTime(day, at(`2026-03-01T${time}Z`)))).toEqual([false, true, true, false])
    const night = match('--timestart 22:00 --timestop 06:00')
    expect(['21:59:59', '22:00:00', '06:00:00', '06:00:01'].map((time) => isInTime(night, at(`2026-03-01T${time}Z`)))).toEqual([false, true, true, false])
  })

  it('counts the hours after midnight to the day before if they are to be contiguous', () => {
    const days = '--timestart 22:00 --timestop 06:00 --weekdays Mon'
    // 2026-03-02 is a Monday.
    expect(isInTime(match(days), at('2026-03-03T01:00:00Z'))).toBe(false)
    expect(isInTime(match(`${days} --contiguous`), at('2026-03-03T01:00:00Z'))).toBe(true)
    expect(isInTime(match(`${days} --contiguous`), at('2026-03-02T01:00:00Z'))).toBe(false)
  })

  it('knows days of the week and of the month for every day', () => {
    for (let day = 0; day < 24855; day += 1) {
      const date = new Date(day * 86_400_000)
      const monthDay = { ...match('--monthdays 1'), monthDays: (1 << date.getUTCDate()) >>> 0 }
      const weekDay = { ...match('--weekdays Mon'), weekDays: 1 << (date.getUTCDay() === 0 ? 7 : date.getUTCDay()) }
      if (!isInTime(monthDay, day * 86400) || !isInTime(weekDay, day * 86400 + 86399)) throw new Error(date.toISOString())
    }
  })

  it('holds between dates', () => {
    const dates = match('--datestart 2026-03-01 --datestop 2026-03-02T12:00')
    expect(['2026-02-28T23:59:59Z', '2026-03-01T00:00:00Z', '2026-03-02T12:00:00Z', '2026-03-02T12:00:01Z'].map((text) => isInTime(dates, at(text))))
      .toEqual([false, true, true, false])
  })

  it('goes by the wall clock, in UTC or in local time', () => {
    const [utc, local] = ['', '--kerneltz'].map((zone) => matching(`-m time --timestart 12:00 --timestop 12:59 ${zone}`))
    for (const { environment } of [utc!, local!]) {
      environment.wallOffset = Date.parse('2026-03-01T11:30:00Z') - environment.clock.now
      environment.zoneSeconds = 3600
    }
    expect(run(utc!, 1) + run(local!, 1)).toBe('-y')
  })
})
