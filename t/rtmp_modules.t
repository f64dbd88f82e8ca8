#!/usr/bin/perl

# Modules that come, go and change places with reloads, some of which fail.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use MC;
use MC::Media qw/ sample /;
use MC::Rtmp qw/ publish connected /;


my $t = MC->new(
    rtmp => 'server { listen 127.0.0.1:%%rtmp%%;'
            . ' application live { live on; }'
            . ' application plain { live on; } }',
    flows => 'mc_flow a { mc_source rtmp:///live/a key=open-sesame;'
             . ' mc_output o udp://127.0.0.1:%%out%%; }' . "\n");

# what the master hears of itself; "nginx -s reload" would refuse most

sub hup {
    my ($text, $expected) = @_;

    $t->write_file('nginx.conf', $text);

    $t->log_mark;
    kill 'HUP', $t->pid;

    $t->wait_log($expected, 10, "a reload ends with $expected");
    ok($t->running, 'the master is there');
}

sub respawn {
    my ($old) = $t->worker_pids;

    kill 'KILL', $old;

    $t->wait_for(sub {
        my @new = $t->worker_pids;
        return @new == 1 && $new[0] != $old;
    }, 10, 'another worker');
}

# a reload that is expected to do

sub renewed {
    my ($text) = @_;

    my ($old) = $t->worker_pids;

    hup($text, qr/start worker process/);

    $t->wait_for(sub {
        my @new = $t->worker_pids('all');
        return @new == 1 && $new[0] != $old;
    }, 10, 'workers of it alone');
}

sub refused {
    my ($what) = @_;

    my $p = publish($t, 'rtmp://127.0.0.1:%%rtmp%%/live/a?key=open-barley',
                    'in.flv');
    isnt($p->wait(20), 0, "$what, another key is refused");
}

sub plain {
    my ($what) = @_;

    my ($worker) = $t->worker_pids;

    my $p = publish($t, 'rtmp://127.0.0.1:%%rtmp%%/plain/x', 'in.flv');
    is($p->wait(20), 0, "$what, nginx-rtmp takes a publisher");
    is(($t->worker_pids)[0], $worker, 'and its worker stays');
}

$t->allow(qr/worker process \d+ exited on signal 9/);

sample($t, 'in.flv', seconds => 1);

my $with = $t->read_file('nginx.conf');

my ($rtmp) = $with =~ m!(load_module \S+/ngx_rtmp_module\.so;\n)!;
my ($mc) = $with =~ m!(load_module \S+/ngx_mc_module\.so;\n)!;
my ($mc_rtmp) = $with =~ m!(load_module \S+/ngx_mc_rtmp_module\.so;\n)!;

my $without = $with;
$without =~ s/\Q$mc$mc_rtmp\E//;
$without =~ s/^mc_flow .*\n//m;
$without =~ s/location .mc \{.*?\}//;


# in another order

(my $order = $with) =~ s/\Q$mc$mc_rtmp\E/$mc_rtmp$mc/;
$t->allow(qr/must be loaded before/);
hup($order, qr/ngx_mc_module.so" must be loaded before/);
refused('after another order of modules');

# the one that the other needs is gone

(my $alone = $without) =~ s/\Q$rtmp\E/$rtmp$mc_rtmp/;
hup($alone, qr/ngx_mc_module.so" must be loaded before/);

# parsed in vain: inside of rtmp{}, and after it

$t->allow(qr/unknown directive "nonsense"/);

(my $inside = $with) =~ s/application plain/nonsense; application plain/;
hup($inside, qr/unknown directive "nonsense"/);
respawn();
refused('after a reload that failed in rtmp{}');

hup("$with\nnonsense;\n", qr/unknown directive "nonsense"/);
respawn();
refused('after a reload that failed');

my $p = publish($t, 'rtmp://127.0.0.1:%%rtmp%%/live/a?key=open-sesame',
                'in.flv');
connected($t, 'a');
is($p->wait(20), 0, 'and the right one is not');

# none of them, in one that is used

renewed($without);
plain('without modules');

# all of them, in vain: what was loaded is unloaded

hup("$with\nnonsense;\n", qr/unknown directive "nonsense"/);
respawn();
plain('after a reload with modules that failed');

# and there again

renewed($with);
$t->wait_for(sub { $t->source('a') }, 10, 'the flow');
refused('with modules again');

$t->finish;
done_testing();
