/* sheet_style.h - how a contact sheet (predict_sheet.c) begins and looks. */
#ifndef TRAIN_SHEET_STYLE_H
#define TRAIN_SHEET_STYLE_H

/* By these first bytes a sheet is known: only such a file is ever replaced. */
extern const char train_sheet_start[];
extern const char train_sheet_style[]; /* the rest of the head, up to <body> */

#endif
