#!/bin/bash
# port-model.sh x86|arm [BENCH] - the inner loops of the kernels on llvm-mca's models of processors: cycles against what the units can issue.
#
# Compiles the files of a level with CC and the Makefile's flags to assembly, cuts a loop out of a function (of the innermost ones that have at
# least a quarter of most product instructions, the densest), and runs it. A model knows units, latencies and widths; every load hits the first
# cache, and every branch is foreseen. One line per loop and processor:
#     cycles    of one turn of the loop, in the steady state
#     products  product instructions in it, and the cycles that they alone keep their units busy (limit); that part of the cycles
#     needed    the same with the other arithmetic that the scheme cannot do without (the scales of a group), where there is some
#     bound     what llvm-mca's "Block RThroughput" says of all instructions of the turn, and the busiest unit with its cycles
#     bar       the part of the cycles that `needed`, or `limit`, must reach, where the tables below have one; the exit status is 1 when a line
#               misses it
# Lines "attention" are sums over the loops of 8 rows and a block of 64 keys, heads of 128, and what stands around them; softmax has no products.
# BENCH (a prism-bench) adds to x86 lines the part of the peak that this machine measures; of i8x2, two products each, twice that part.
#
# Models: neoverse-v1 and neoverse-n2 are the processors' own (LLVM 16 takes that of N2 for both); cortex-a76 is LLVM's model of the A57;
# znver4 stands for Zen 5 too, which has no model; sapphirerapids is Golden Cove. MCA: another llvm-mca, 16 or later (llvm-mca-19).
# CC, FLAGS_<level> and PKG_CFLAGS come from the Makefile. KEEP=DIR keeps the loops.
set -euo pipefail
cd "$(dirname "$0")/.."

family=${1:?usage: port-model.sh x86|arm [BENCH]} bench=${2:-}
work=${KEEP:-$(mktemp -d)}
mkdir -p "$work"
[ -n "${KEEP:-}" ] || trap 'rm -rf "$work"' EXIT

mca=${MCA:-llvm-mca-19}
command -v "$mca" >/dev/null || tools/apt-install.sh "make port-model" llvm-19

# title, file, function, products, other needed arithmetic (- for none), bar, kernel of the bench, processors
rows_x86() {
    local all=znver4,sapphirerapids,icelake-server
    cat <<EOF
f32  arch/avx2/linear_f32.c          tile_6x16      vfmadd231ps  - - linear_f32:F16    $all
i16  arch/avx2/linear_i16.c          tile_symmetric vpmaddwd     - - linear_auto:Q8_0  $all
i8   arch/avx2/linear_i8.c           tile_symmetric vpmaddubsw   - - linear_auto:Q4_0  $all
i8k  arch/avx2/linear_i8k.c          tile_halves    vpmaddubsw   - - linear_auto:Q6_K  $all
i8   arch/avx2/linear_i8k.c          tile_k_min     vpmaddubsw   - - linear_auto:Q4_K  $all
i8   arch/avxvnni/linear_i8.c        tile_symmetric vpdpbusd     - - linear_auto:Q8_0  $all
f32  arch/avx512/linear_f32.c        tile           vfmadd231ps  - - linear_f32:F16    $all
i8   arch/avx512vnni/linear_i8.c     tile_i8        vpdpbusd     - - linear_auto:Q8_0  $all
i8x2 arch/avx512vnni/linear_i8.c     tile_i8x2      vpdpbusd     - - linear_finer:Q8_0 $all
i8w  arch/avx512vnni/linear_i8w.c    tile_i8w       vpdpbusd     - - linear_auto:Q4_0  $all
i16  arch/avx512vnni/linear_i16.c    tile           vpdpwssd     - - linear_auto:F16   $all
qk   arch/avx512vnni/attention_i16.c scores_8x32    vpdpwssd     - - -                 $all
pv   arch/avx512vnni/attention_i16.c values_8x32    vpdpwssd     - - -                 $all
EOF
}

rows_arm() {
    local all=neoverse-n2,neoverse-v1,cortex-a76 matrix=neoverse-n2,neoverse-v1
    cat <<EOF
f32  arch/neon/linear_f32.c                  tile_8x12   fmla    -     85 - $all
gemv-q8_0 arch/neon/gemv.c                        dot_q8_0    fmla    -     -  - $all
i8   arch/neon_i8mm_bf16/linear_i8.c         tile_i8     smmla   fmla  85 - $matrix
i8x2 arch/neon_i8mm_bf16/linear_i8.c         tile_i8x2   smmla   fmla  85 - $matrix
i8w  arch/neon_i8mm_bf16/linear_i8w.c        tile_i8w    smmla   fmla  85 - $matrix
bf16 arch/neon_i8mm_bf16/linear_bf16.c       tile_8x12   bfmmla  -     85 - $matrix
qk   arch/neon_i8mm_bf16/attention_i16.c     scores_8x8  smmla   -     85 - $matrix
pv   arch/neon_i8mm_bf16/attention_i16.c     values_8x8  usmmla  -     85 - $matrix
gemv-q8_0 arch/neon_i8mm_bf16/gemv_i16.c          gemv_q8_0   sdot    fmla  -  - $matrix
gemv-q4_k arch/neon_i8mm_bf16/gemv_i16.c          gemv_q4_k   sdot    fmla  -  - $matrix
gemv-q6_k arch/neon_i8mm_bf16/gemv_i16.c          gemv_q6_k   sdot    fmla  -  - $matrix
EOF
}

# file, products, bar, processors; then functions as name:calls:turns of its innermost loops in the order of the text
sums_arm() {
    local all=neoverse-n2,neoverse-v1,cortex-a76 matrix=neoverse-n2,neoverse-v1
    cat <<EOF
arch/neon/attention.c               fmla            75 $all    scores_8x8:8:128 prism_attn_softmax:1:64,64 values_8x8:16:64
arch/neon_i8mm_bf16/attention_i16.c smmla|usmmla    75 $matrix scores_8x8:8:16,16,16,16 largest:4:8 probabilities:4:8 values_8x8:16:8,8,8,8
EOF
}
sums_x86() { :; }

compile() { # file, assembly
    local level=${1#arch/}
    local flags=FLAGS_${level%%/*}
    # shellcheck disable=SC2086
    ${CC:-gcc} -std=c11 -Wno-psabi -fno-omit-frame-pointer -ffp-contract=off -fvisibility=hidden -O3 -fPIC -fno-asynchronous-unwind-tables \
        ${!flags} -D_GNU_SOURCE -I. -Iinclude ${PKG_CFLAGS:-} -S "$1" -o "$2"
}

# A loop is the run of lines from a label to a conditional branch back to it (others come from code out of the way). Writes OUT.1, OUT.2 ... (the innermost ones), OUT.rest (what is in no loop) and
# OUT.best; the last branch of each is kept.
cut_loops() { # function, products, out; assembly on standard input
    FUNCTION=$1 PRODUCTS=$2 OUT=$3 awk '
        BEGIN { name = "^" ENVIRON["FUNCTION"] "([.][a-z0-9.]+)?:"; product = "^\t([{]vex[}] )?(" ENVIRON["PRODUCTS"] ")[ \t]"; out = ENVIRON["OUT"] }
        $0 ~ name { inside = 1; next }
        inside && /^\t\.size/ { inside = 0 }
        !inside { next }
        /^\.L[A-Za-z0-9_]*:/ { at[substr($1, 1, length($1) - 1)] = n; next }
        /^\t[a-z{]/ {
            line[++n] = $0
            count[n] = count[n - 1] + ($0 ~ product)
            target = $NF
            sub(/.*,/, "", target)
            if ($1 ~ /^(j|b|cb|tb)/ && $1 !~ /^(b|jmp)$/ && target in at) {
                begin[++loops] = at[target] + 1
                end[loops] = n
            }
        }
        END {
            for (i = 1; i <= loops; i++) {
                inner[i] = 1
                for (j = 1; j <= loops; j++)
                    inner[i] = inner[i] && !(j != i && begin[j] >= begin[i] && end[j] <= end[i] && end[j] - begin[j] < end[i] - begin[i])
                products[i] = count[end[i]] - count[begin[i] - 1]
                most = inner[i] && products[i] > most ? products[i] : most
            }
            for (i = 1; i <= loops; i++) {
                for (j = begin[i]; inner[i] && j <= end[i]; j++)
                    in_loop[j] = 1
                density = products[i] / (end[i] - begin[i] + 1)
                if (inner[i] && products[i] * 4 >= most && density > densest) {
                    densest = density
                    best = i
                }
            }
            for (i = 1; i <= loops; i++) {
                if (inner[i])
                    kept++
                for (j = begin[i]; inner[i] && j <= end[i]; j++) {
                    print line[j] >(out "." kept)
                    if (i == best)
                        print line[j] >(out ".best")
                }
            }
            for (j = 1; j <= n; j++)
                if (!in_loop[j])
                    print line[j] >(out ".rest")
        }'
}

# Of a loop: cycles, number and cycles of the products, of these with the needed ones, bound, busiest unit.
judge() { # loop, processor, products, needed
    local file=$1 cpu=$2 turns
    for turns in 100 300; do
        "$mca" -mtriple="$triple" -mcpu="$cpu" ${attributes:+-mattr=$attributes} -iterations=$turns -instruction-info "$file" \
            >"$file.$cpu.$turns" 2>"$file.$cpu.log" || { cat "$file.$cpu.log" >&2; return 1; }
    done
    PRODUCTS=$3 NEEDED=$4 awk '
        BEGIN { product = "^(" ENVIRON["PRODUCTS"] ")$"; needed = "^(" ENVIRON["NEEDED"] ")$" }
        /^Total Cycles:/ { cycles += FNR == NR ? -$3 : $3 }
        FNR == NR { next }
        /^Block RThroughput:/ { bound = $3 }
        /^Resources:/ { part = "names" }
        /^Resource pressure per iteration:/ { part = "pressure" }
        /^Instruction Info:/ { part = "info" }
        part == "info" && $1 ~ /^[0-9]+$/ {
            for (i = 4; $i !~ /^[a-z]/; i++)
                ;
            if ($i ~ product) { products++; limit += $3; work += $3 }
            else if ($i ~ needed) { work += $3 }
        }
        part == "names" && /^\[/ { name[substr($1, 2, length($1) - 2)] = $3 }
        part == "pressure" && /^\[/ { split($0, key, /[][ ]+/); next }
        part == "pressure" && NF && !/^Resource/ {
            for (i = 1; i <= NF; i++)
                if ($i != "-" && $i + 0 > most) { most = $i; unit = name[key[i + 1]] }
            part = ""
        }
        END { printf "%.2f %d %.2f %.2f %.2f %s %.2f\n", cycles / 200, products, limit, work, bound, unit, most }' \
        "$file.$cpu.100" "$file.$cpu.300"
}

measured() { # level, kernel:type
    [ -n "$bench" ] && [ "$2" != - ] || return 0
    "$bench" kernels "${2%:*}" --level "$1" 2>/dev/null |
        awk -v type="${2#*:}" '$2 == type && !found { for (i = 1; i <= NF; i++) if ($i == "%") { print $(i - 1) " %"; found = 1; break } }'
}

# A line; false when it misses its bar.
show() { # title, level, processor, cycles, products, limit, needed (its cycles or -), bound, unit, bar, measured
    awk -v t="$1" -v level="$2" -v cpu="$3" -v c="$4" -v n="$5" -v l="$6" -v w="$7" -v b="$8" -v unit="$9" -v bar="${10}" -v here="${11:-}" '
        BEGIN {
            reached = 100 * (w == "-" ? l : w) / c
            printf "%-9s %-14s %-14s %9.2f %8d %9.2f %4.0f %% %7s %6s %7s  %-16s %s%s\n", t, level, cpu, c, n, l, 100 * l / c,
                w == "-" ? "" : w, w == "-" ? "" : sprintf("%.0f %%", 100 * w / c), b, unit, here,
                bar == "-" ? "" : "bar " bar " %" (reached >= bar ? "" : ": MISSED")
            exit !(bar == "-" || reached >= bar)
        }'
}

case $family in
x86) triple=x86_64-linux-gnu attributes= ;;
arm) triple=aarch64-linux-gnu attributes=+dotprod,+i8mm,+bf16,+fullfp16 ;;
*) echo "port-model: no models of $family"; exit 0 ;;
esac
missed=0
"$mca" --version | sed -n 's/.*LLVM version/modelled by llvm-mca/p'
printf '%-9s %-14s %-14s %9s %8s %9s %6s %7s %6s %7s  %-16s %s\n' loop level processor cycles products limit '' needed '' bound 'busiest unit' \
    "${bench:+measured}"

while read -r title file function products needed bar kernel cpus; do
    level=${file#arch/} level=${level%%/*}
    out=$work/$level-$title-$function
    compile "$file" "$out.s"
    cut_loops "$function" "$products" "$out" <"$out.s"
    [ -s "$out.best" ] || { echo "port-model: no loop with $products in $function of $file" >&2; exit 1; }
    here=$(measured "$level" "$kernel")
    for cpu in ${cpus//,/ }; do
        read -r cycles count limit both bound unit most <<<"$(judge "$out.best" "$cpu" "$products" "$needed")"
        [ "$needed" != - ] || both=-
        show "$title" "$level" "$cpu" "$cycles" "$count" "$limit" "$both" "$bound" "$unit $most" "$bar" "$here" || missed=1
    done
done < <("rows_$family")

while read -r file products bar cpus functions; do
    level=${file#arch/} level=${level%%/*}
    compile "$file" "$work/$level-sum.s"
    for cpu in ${cpus//,/ }; do
        parts=
        for function in $functions; do
            IFS=: read -r name calls turns <<<"$function"
            case $name in scores* | values*) counted=$products ;; *) counted=- ;; esac
            out=$work/$level-sum-$name
            rm -f "$out".[0-9]* "$out".rest
            cut_loops "$name" "$products" "$out" <"$work/$level-sum.s"
            i=0
            for n in ${turns//,/ } rest; do
                i=$((i + 1)) part=$out.$i
                [ "$n" != rest ] || part=$out.rest
                [ -s "$part" ] || { echo "port-model: $function of $file has another number of loops" >&2; exit 1; }
                parts+="$((calls * ${n/rest/1})) $(judge "$part" "$cpu" "$counted" -)"$'\n'
            done
            [ ! -e "$out.$i" ] || { echo "port-model: $function of $file has another number of loops" >&2; exit 1; }
        done
        read -r cycles count limit <<<"$(awk '{ c += $1 * $2; n += $1 * $3; l += $1 * $4 } END { print c, n, l }' <<<"$parts")"
        show attention "$level" "$cpu" "$cycles" "$count" "$limit" - '' '' "$bar" || missed=1
    done
done < <("sums_$family")
exit $missed
