"""What the paper, and so a claim, calls the figures and tables of the notebooks: "Fig. 4" is `fig-fig4_regimes`.

Names are those given to `show.show` ("fig-" and the name) and `show.show_table` ("tab-" and the name). Where several
show one thing, the first is what a claim's evidence leads to.
"""

from collections.abc import Mapping

LABELS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "01_bias_selection": {
        "Fig. 1": ("fig-fig1_ranking", "tab-fig1_scores", "tab-fig1_achieved", "tab-selections", "fig-fig1_heatmaps"),
        "Fig. 2": ("fig-fig2_projection_ratio",),
        "Fig. 3": ("fig-fig3_approaches",),
    },
    "02_glue_regimes": {
        "Table 1": ("tab-table1", "tab-table1_own_rates"),
        "Fig. 4": ("fig-fig4_regimes",),
        "Scoreboard": ("tab-scoreboard",),
    },
    "03_efficiency": {
        "Table 2": ("tab-table2_scores", "tab-table2_cost", "fig-table2_cost"),
        "Table 3": ("tab-table3", "fig-table3_mixtures", "fig-table3_cosines", "tab-table3_cosines"),
    },
    "04_extension": {
        "Table 4": ("tab-table4", "tab-table4_sizes"),
        "Learning rates": ("tab-rates", "fig-rates"),
        "Epochs": ("tab-epochs", "fig-epochs"),
        "Fisher along a run": ("tab-fisher_along",),
    },
    "05_autoregressive": {
        "Table 5": ("tab-table5", "fig-table5_scalars", "tab-table5_chosen"),
    },
}
