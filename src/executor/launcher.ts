// The program of a berth, in Perl: what Linux machines have that forks in 0.1 ms, tells exactly how a child ended, and needs no compiler.
// And the words between it and us.
import { SetupError } from './contract.ts'
import type { Order } from './starter.ts'

/**
 * Arguments: the files that take it into its cgroups. On stdin orders, each behind its length in 4 bytes, big end first:
 * cwd, input file, number of arguments, program, arguments…, NAME=value…, all parted by NUL, which none of them can hold.
 * On stdout lines:
 *   ready OUT ERR     two fresh pipes stand open under these descriptors; whoever may follow /proc/PID/fd can open their read ends
 *   taken             the order was read; from now on there may be a process
 *   started PID       the program runs, writing into them
 *   failed TEXT       it could not be executed
 *   ended STATUS      as wait(2) tells it; then `ready` again
 * A job gets a process group of its own and no descriptor but 0, 1 and 2: what the launcher inherited it closes at its start, and what
 * it opened Perl closes at exec. The end of stdin is its own end.
 */
export const LAUNCHER = `
$0 = 'swarm launcher';
opendir my $open, '/proc/self/fd' or exit 1;
for my $number (grep { /^\\d+$/ and $_ > 2 and $_ != fileno $open } readdir $open) {
  open my $inherited, '<&=', $number or exit 1;
}
closedir $open;
for my $door (@ARGV) {
  open my $file, '>', $door or exit 1;
  syswrite $file, '0' or exit 1;
}
sub take {
  my ($count, $bytes) = (shift, '');
  while (length $bytes < $count) {
    sysread STDIN, $bytes, $count - length $bytes, length $bytes or exit 0;
  }
  return $bytes;
}
sub tell_line { syswrite STDOUT, "@_\\n" or exit 0 }
while (1) {
  pipe my $out, my $out_end and pipe my $err, my $err_end or exit 1;
  tell_line 'ready', fileno $out, fileno $err;
  my $order = take(unpack 'N', take(4));
  tell_line 'taken';
  my ($cwd, $input, $count, @rest) = split /\\0/, $order, -1;
  my @command = splice @rest, 0, $count;
  pipe my $heard, my $failed or exit 1;
  my $pid = fork;
  if (defined $pid and $pid == 0) {
    setpgrp 0, 0;
    if (chdir $cwd and open STDIN, '<', $input and open STDOUT, '>&', $out_end and open STDERR, '>&', $err_end) {
      %ENV = map { split /=/, $_, 2 } @rest;
      exec { $command[0] } @command;
    }
    syswrite $failed, "$!";
    kill 9, $$;
  }
  my $why = defined $pid ? '' : "$!";
  close $_ for $out, $out_end, $err, $err_end, $failed;
  sysread $heard, $why, 4096 if $why eq '';
  close $heard;
  if ($why eq '') { tell_line 'started', $pid } else { tell_line 'failed', $why }
  next unless defined $pid;
  waitpid $pid, 0;
  tell_line 'ended', $? if $why eq '';
}
`

export type LauncherLine =
  | { readonly says: 'ready'; readonly pipes: readonly number[] }
  | { readonly says: 'taken' }
  | { readonly says: 'started'; readonly pid: number }
  | { readonly says: 'failed'; readonly reason: string }
  | { readonly says: 'ended'; readonly status: number }

export function parseLine(line: string): LauncherLine | undefined {
  const [says, ...words] = line.split(' ')
  const [first = Number.NaN] = words.map(Number)
  switch (says) {
    case 'ready':
      return { says, pipes: words.map(Number) }
    case 'taken':
      return { says }
    case 'started':
      return { says, pid: first }
    case 'failed':
      return { says, reason: words.join(' ') }
    case 'ended':
      return { says, status: first }
    default:
      return undefined
  }
}

/** One order as the launcher reads it. */
export function printOrder({ cwd, input, file, args, env }: Order): Buffer {
  const pairs = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  const words = [cwd, input, String(args.length + 1), file, ...args, ...pairs]
  if (words.some((word) => word.includes('\0')))
    throw new SetupError(`cannot start ${file}: a null byte in its command or environment`)
  const text = Buffer.from(words.join('\0'))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(text.length)
  return Buffer.concat([length, text])
}
