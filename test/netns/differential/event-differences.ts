/** Where the lines of `tsnat conntrack -E` differ from those of `conntrack -E` on a kernel gateway. Data of the test and of the document. */

export interface EventDifference {
  readonly id: string
  /** What the kernel's line has, what tsnat's has, and why. */
  readonly kernel: string
  readonly tsnat: string
  readonly why: string
  /** What tsnat prints where the kernel prints this. */
  readonly change: (line: string) => string[]
}

export const EVENT_DIFFERENCES: readonly EventDifference[] = [
  {
    id: 'portid',
    kernel: '`[USERSPACE] portid=N progname=P` at the end of a line that a program caused (`conntrack -D`)',
    tsnat: 'Nothing',
    why: 'There are no netlink sockets to name',
    change: (line) => [line.replace(/ \[USERSPACE\].*$/, '')],
  },
]
