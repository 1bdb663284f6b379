/** The sections of docs/nat-behaviour.md that tell how tsnat differs from the kernel. */
import { DIFFERENCES } from './differences.js'
import { EVENT_DIFFERENCES } from './event-differences.js'
import { RULE_DIFFERENCES } from './rules/differences.js'

export interface DocumentSection {
  readonly title: string
  readonly lines: readonly string[]
}

interface Entry {
  readonly id: string
  readonly kernel: string
  readonly tsnat: string
  readonly why: string
}

const tableOf = (entries: readonly Entry[]): string[] => [
  '| Difference | The kernel | tsnat | Why |',
  '|---|---|---|---|',
  ...entries.map(({ id, kernel, tsnat, why }) => `| \`${id}\` | ${kernel} | ${tsnat} | ${why} |`),
]

export const differenceSections = (): DocumentSection[] => [
  {
    title: "Beside the kernel's masquerade",
    lines: [
      'A test (`test/netns/differential/masquerade.test.ts`) sends a thousand generated packet sequences through tsnat in profile `linux` and through',
      'a kernel that masquerades, and compares what comes out, packet by packet. What differs is listed here; anything else fails the test, and so',
      'does an entry that does not occur.',
      '',
      ...tableOf(DIFFERENCES),
    ],
  },
  {
    title: 'Beside iptables',
    lines: [
      'A test (`test/netns/differential/rules/rules.test.ts`) loads generated files of `iptables-save` into a kernel and into tsnat in profile `linux`,',
      'and sends the same packets through both: it compares what comes out, packet by packet, and what each rule has counted afterwards. The rules have',
      'every match and target whose outcome is the same at each run. What differs is listed here; anything else fails the test, and so does an entry',
      'that does not occur.',
      '',
      ...tableOf(RULE_DIFFERENCES),
    ],
  },
  {
    title: 'Beside conntrack -E',
    lines: [
      'The same programs talk through both (`test/netns/differential/events.test.ts`), and `tsnat conntrack -E` prints the lines of `conntrack -E`,',
      'flow by flow, but for:',
      '',
      ...tableOf(EVENT_DIFFERENCES),
    ],
  },
]
