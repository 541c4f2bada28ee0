/* charts.h - a run's curves and its calibration as inline SVG, in the colours of the page's style (report.c). */
#ifndef TRAIN_CHARTS_H
#define TRAIN_CHARTS_H

#include "train/metrics.h"
#include "train/page.h"
#include "train/run_folder.h"

/* Loss, accuracy and learning rate by epoch; the best epoch (0: none) is marked. */
void train_charts_curves(struct train_page *page, const struct train_run_folder *folder, int best_epoch);
/* Share of right answers over the probability they were given with, before and after calibration. */
void train_charts_reliability(struct train_page *page, const struct train_metrics *metrics);

#endif
