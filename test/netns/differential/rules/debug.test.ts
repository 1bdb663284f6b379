import { it } from 'vitest'
import { Lab } from '../../../../src/testing/lab/index.js'
import { kernelGateway, type RuleGateway } from './bed.js'
import { caseOf, countersOf, play, type Played } from './play.js'
import { TsnatRules } from './tsnat-bed.js'
it('debug', async () => {
  const lab = await Lab.create(`dbg${process.pid}`)
  const kernel = await kernelGateway(lab, 'iptables-legacy')
  const parse = (c: string): [string, number] => { const m = /^(.*) \[(\d+):\d+\]$/.exec(c)!; return [m[1]!, Number(m[2])] }
  const out: string[] = []
  for (const seed of (process.env['WALK'] ?? '').split(',').filter(Boolean)) {
    const one = caseOf(Number(seed))
    const logs: string[][] = []
    const played: Played[] = []
    for (const gateway of [kernel, new TsnatRules()] as RuleGateway[]) {
      const log: string[] = []
      let last: string[] = []
      played.push(await play(gateway, one, async () => {
        const now = countersOf(await gateway.save())
        log.push(now.flatMap((c, i) => { const [t, n] = parse(c); const m = last.length > 0 ? parse(last[i]!)[1] : 0; return n === m ? [] : [`     +${n - m} ${t}`] }).join('\n'))
        last = now
      }))
      logs.push(log)
    }
    let shown = 0
    one.shots.forEach((shot, i) => {
      if (logs[0]![i] === logs[1]![i] || shown++ > 1) return
      out.push(`===== seed ${seed} shot ${i} ${JSON.stringify(shot.flow)} ${shot.note}`, ...played.flatMap((p, k) => [`-- ${k}`, `  > ${p.sent[i]}`, ...p.seen[i]!.map((l) => `  < ${l}`), logs[k]![i]!]))
    })
  }
  for (const part of (process.env['AT'] ?? '').split(',').filter(Boolean)) {
    const [seed, at] = part.split(':').map(Number)
    const one = caseOf(seed!)
    const end = at ?? one.shots.length - 1
    out.push(`===== seed ${seed} shot ${end}: ${JSON.stringify(one.shots[end]!.flow)}`)
    for (const [name, gateway] of [['kernel', kernel], ['tsnat', new TsnatRules()]] as [string, RuleGateway][]) {
      const before = await play(gateway, { ...one, shots: one.shots.slice(0, end) })
      const after = await play(gateway, { ...one, shots: one.shots.slice(0, end + 1) })
      out.push(`-- ${name}`, `   > ${after.sent[end]}`, ...after.seen[end]!.map((l) => `   < ${l}`))
      after.counters.forEach((c, i) => { const [t, n] = parse(c); const [, m] = parse(before.counters[i]!); if (n !== m) out.push(`     +${n - m} ${t}`) })
    }
    if (process.env['RULES']) out.push(one.rules)
  }
  console.log(out.join('\n'))
  kernel.close()
  await lab.close()
})
