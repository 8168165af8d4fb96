/* What positive_unitball does with its rows, for one type R; included once for each by rows.c. */

/* A sum in index order waits for every addition. The rows do not depend on each other, so LANES of them are summed side
   by side. */
#define LANES 8

static void NAME(sum_lanes)(R sum[LANES], const R *row, size_t columns) {
    R total[LANES] = {0};
    for (size_t i = 0; i < columns; ++i)
        for (size_t lane = 0; lane < LANES; ++lane)
            total[lane] += row[lane * columns + i];
    for (size_t lane = 0; lane < LANES; ++lane)
        sum[lane] = total[lane];
}

static R NAME(sum_one)(const R *row, size_t columns) {
    R total = 0;
    for (size_t i = 0; i < columns; ++i)
        total += row[i];
    return total;
}

void NAME(cf_normalize_rows)(R *out, size_t rows, size_t columns) {
    R sum[LANES];
    for (size_t group; rows > 0; rows -= group) {
        group = rows < LANES ? 1 : LANES;
        if (group == LANES)
            NAME(sum_lanes)(sum, out, columns);
        else
            sum[0] = NAME(sum_one)(out, columns);
        for (size_t lane = 0; lane < group; ++lane, out += columns)
            for (size_t i = 0; i < columns; ++i)
                out[i] /= sum[lane];
    }
}

#undef LANES
